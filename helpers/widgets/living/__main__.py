"""Write the page of all living pictures: ``python -m helpers.widgets.living PATH``."""

import argparse

from helpers.widgets.living import PICTURES
from helpers.widgets.living.page import write_page

parser = argparse.ArgumentParser("python -m helpers.widgets.living", description=__doc__.splitlines()[0])
parser.add_argument("path", help="the HTML file to write")
print(write_page({name: make() for name, make in PICTURES.items()}, parser.parse_args().path))
