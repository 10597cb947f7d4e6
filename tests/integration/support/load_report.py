"""What every report of usher-load must keep."""
from support.cluster import check


def check_losses(report):
    """Whatever has no good answer has a cause."""
    causes = report["losses_by_cause"]
    check(report["losses"] == report["sent"] - report["answered"] == sum(causes.values()), f"causes of the losses do not add up: {report}")


def check_sums(report):
    check_losses(report)
    check(report["sent"] == report["received"] + report["lost"], f"sent is not received and lost: {report}")
    check(report["received"] >= report["answered"] > 0, f"nothing was answered: {report}")
    latency = report["latency_us"]
    spectrum = [latency[name] for name in ("p50", "p90", "p99", "p999", "p9999", "max")]
    check(0 < latency["mean"] <= latency["max"] and spectrum == sorted(spectrum), f"odd latencies: {latency}")
    check(report["valid"] == (report["verdict"] == "valid") and report["verdict_text"], f"no verdict: {report}")
