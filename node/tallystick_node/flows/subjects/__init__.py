"""All that is known of a subject: shown, and erased."""
