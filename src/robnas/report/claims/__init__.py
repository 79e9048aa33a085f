"""The paper's remarks, theorem and claims as tests of rows: claims.yaml says what is claimed and measured, here is how it is tested."""

from robnas.report.claims.catalogue import Claim, catalogue
from robnas.report.claims.connections import settings, vulnerabilities
from robnas.report.claims.judge import judge, strongest

__all__ = ["Claim", "catalogue", "judge", "settings", "strongest", "vulnerabilities"]
