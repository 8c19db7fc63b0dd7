"""Judging the bridges: bias, variance and cost, measured, and which one to take."""

from .check_gradient import GradientCheck as GradientCheck, check_gradient as check_gradient
from .compare import compare as compare
from .comparison import Comparison as Comparison
from .custom import CustomGradient as CustomGradient, custom as custom
from .policy_audit import PolicyAudit as PolicyAudit
from .recommend import recommend as recommend
from .rows import Group as Group, Interval as Interval, Row as Row, Truth as Truth
from .trust import OutputTrust as OutputTrust, Trust as Trust, trust as trust
