"""Reading pickles of plain data and byte arrays without unpickling them."""

from visionlib.data.pickles.reader import read_pickle as read_pickle
