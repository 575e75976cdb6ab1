"""HTTP: authentication, problems, and the routes SDK clients call. No business decisions live here."""
