"""Writes alarms on the active-chat quota, to put beside a request: AWS asks for one at 80 % of a quota.

The metric and its dimensions: https://docs.aws.amazon.com/connect/latest/adminguide/monitoring-cloudwatch.html.
"""

import re

SHARES = (60, 80)
"""Percent of the quota at which an alarm goes off: early enough to ask for more, and late enough to be acted on."""

_CLOUDFORMATION = """\
  ActiveChats{share}:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmDescription: Amazon Connect holds {share} % of its concurrent active chats
      Namespace: AWS/Connect
      MetricName: ConcurrentActiveChatsPercentage
      Dimensions:
        - {{ Name: InstanceId, Value: "{instance}" }}
        - {{ Name: MetricGroup, Value: Chats }}
      Statistic: Maximum
      Period: 60
      EvaluationPeriods: 3
      DatapointsToAlarm: 2
      Threshold: {share}
      ComparisonOperator: GreaterThanOrEqualToThreshold
      TreatMissingData: notBreaching
"""
_TERRAFORM = """\
resource "aws_cloudwatch_metric_alarm" "active_chats_{share}" {{
  alarm_name          = "connect-active-chats-{share}-percent"
  namespace           = "AWS/Connect"
  metric_name         = "ConcurrentActiveChatsPercentage"
  dimensions          = {{ InstanceId = "{instance}", MetricGroup = "Chats" }}
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  threshold           = {share}
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
}}
"""


def alarm_lines(instance_id: str | None) -> list[str]:
    """Return the Markdown of the alarms for one instance, as CloudFormation and as Terraform."""
    known = instance_id if instance_id and re.fullmatch(r"[0-9A-Za-z-]{1,100}", instance_id) else "INSTANCE_ID"
    forms = (("yaml", "CloudFormation", "Resources:\n", _CLOUDFORMATION), ("hcl", "Terraform", "", _TERRAFORM))
    lines = [
        "## Alarms",
        "",
        f"AWS asks for an alarm at 80 % of a quota. These go off at {' and '.join(map(str, SHARES))} % of the active chats.",
    ]
    for language, name, head, text in forms:
        body = "\n".join(text.format(share=share, instance=known) for share in SHARES).rstrip("\n")
        lines += ["", f"{name}:", "", f"```{language}", f"{head}{body}", "```"]
    return lines
