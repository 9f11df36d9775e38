"""The options that dojo adds to pytest."""


def add(group) -> None:
    option = group.addoption
    option("--impl", default="katas", metavar="TREE", help="what to test: katas, solutions or a folder like them")
    option("--framework", metavar="NAME", help="a framework, several with commas, or all; default: those started")
    option("--all-levels", action="store_true", help="do not lock the levels after the first that fails")
    option("--report", metavar="FILE", help="write the results as JSON")
    option("--test-seconds", type=float, metavar="N", help="how long one test may take; default: as dojo.toml says")
    option("--no-diagnosis", action="store_true", help="do not look for a known mistake behind a failure")
    option("--diagnosis-seconds", type=float, default=1, metavar="N", help="how long to look for one (default 1)")
    option("--stop-when-refused", action="store_true", help="end at the first failure, once that is diagnosed")
    option("--require-gpu", action="store_true", help="a GPU test that finds no GPU is an error")
    option("--events", metavar="FILE", help="append the plan and each result as it comes, a JSON line each")
