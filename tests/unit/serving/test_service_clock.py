"""The part of a request's time in which its thread only waited for a CPU."""

from __future__ import annotations

from platform_ctl.serving.server.service_clock import ServiceClock


def test_what_the_kernel_counted_meanwhile_and_never_more_than_passed(tmp_path):
    counted = tmp_path / "schedstat"
    counted.write_text("5000 1000 3\n")
    clock = ServiceClock(counted)
    begun = clock.now()
    counted.write_text("9000 3000 4\n")
    took = clock.since(begun)
    assert took.cpu_wait_ms == 0.002 or took.cpu_wait_ms == took.wall_ms
    counted.write_text(f"9000 {10**15} 4\n")
    took = clock.since(begun)
    assert took.cpu_wait_ms == took.wall_ms > 0
    clock.close()


def test_a_system_that_does_not_say_is_no_wait(tmp_path):
    clock = ServiceClock(tmp_path / "missing")
    took = clock.since(clock.now())
    assert took.cpu_wait_ms == 0 <= took.wall_ms
    clock.close()
