"""Stand-ins for the official provider plugins: executables of their names, put first on a test's PATH."""
