"""Every test run makes static pages: widgets are tried by the browser tests, on a server of their own."""

import os

os.environ["COURSE_STATIC"] = "1"
