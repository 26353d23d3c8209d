"""How a node is called: by its company's apps, by partners, by everybody."""
