"""Ana as the stories about erasure know her: rewarded for March, then erased; and the search of all there is."""

from outside import stored_of
from town import ANA_MARCH, Company, Membership, Town, consent, link

from tallystick_node.flows.subjects.burying import SPREAD_S

MARCH_CLOSES = "2027-04-16 00:00"
MARCH_IS_TOLD = "2027-04-25 00:00"


def ana(story: Town) -> Membership:
    """Ana has trained in March, and was rewarded for it."""
    gym, insurer = story.companies["gym.example"], story.companies["insurer.example"]
    person = consent(link(gym, insurer, at_gym="ana-at-gym", at_insurer="ana-at-ins", town=story), story)
    story.go_to("2027-03-01 10:00")
    person.confirm_membership("2027-03-01 09:00")
    person.train(story, ANA_MARCH)
    story.go_to(MARCH_CLOSES)
    story.go_to(MARCH_IS_TOLD)
    return person


def erase_at_gym(person: Membership, story: Town) -> None:
    """Ana asks the gym; a day later, all of it is done."""
    person.gym.app().subjects.erase(person.at_gym)
    story.clock.at_s += SPREAD_S
    story.settle()


def files_of(company: Company) -> dict[str, bytes]:
    """Return every file of a company: rows, write-ahead logs, custody, keys, the log; and what a server keeps."""
    files = {
        str(path.relative_to(company.folder)): path.read_bytes() for path in company.folder.rglob("*") if path.is_file()
    }
    return {**files, "rows": stored_of(company)}


def found(files: dict[str, dict[str, bytes]], wanted: bytes) -> list[str]:
    """Return where bytes stand."""
    return [f"{host}: {name}" for host, there in files.items() for name, raw in there.items() if wanted in raw]
