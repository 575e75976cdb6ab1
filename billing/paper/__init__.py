"""What every document on paper shares: the sheet and its type (`sheet`), and the letters it has (`letters`)."""
