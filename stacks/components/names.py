"""Physical names, as everybody knows them (contracts/names.py)."""

from contracts.names import PREFIX as PREFIX
from contracts.names import name_of as name_of
