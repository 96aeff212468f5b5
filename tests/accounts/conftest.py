from tests.house import any_house, house

__all__ = ["any_house", "house"]
