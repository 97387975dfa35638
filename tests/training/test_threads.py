"""Tests of threads: the same bits for any number, and limits that are restored."""

import threading

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from citrus_sk import CitrusClassifier
from citrus_sk._utils.threads import in_threads, one_thread_each
from citrus_sk.nn import PRESETS, CitrusNetwork
from citrus_sk.training import nets
from citrus_sk.training.draws import own_draws
from citrus_sk.training.nets import make_net

CPU = torch.device("cpu")


@pytest.fixture
def threads():
    """A function that sets torch's number of threads until the end of the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture
def two_blas_threads():
    """BLAS with two threads, whatever the environment says."""

    def limit(n_threads):
        # By a thread that ends, because another one cannot change a limit before that.
        thread = threading.Thread(target=threadpool_limits, args=(n_threads, "blas"))
        thread.start()
        thread.join()

    before = blas_threads()[0]
    limit(2)
    yield
    limit(before)


def blas_threads():
    return [
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    ]


FINE_TUNED = {
    "strategy": "finetune",
    "max_epochs": 2,
    "preset": "tiny",
    "pretrained": None,
}


@pytest.mark.parametrize("parameters", [{}, FINE_TUNED], ids=["probe", "fine-tuned"])
def test_fits_and_predictions_have_the_same_bits_with_any_number_of_threads(
    parameters, watch, threads, monkeypatch
):
    monkeypatch.setattr(nets, "_PART_SAMPLES", 2**12)  # several parts of a small batch
    monkeypatch.setitem(nets._INFERENCE_SAMPLES, "cpu", 2**12)
    X, y, people = watch.X[::2], watch.y[::2], watch.groups[::2]
    found = []
    for n_threads in (1, 2, 3):
        threads(n_threads)
        model = CitrusClassifier(random_state=0, **parameters).fit(X, y, groups=people)
        found.append((model.predict_proba(X), model.predict_proba(X, groups=people)))
        assert torch.get_num_threads() == n_threads
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def gradients(monkeypatch, most_parts, dropout):
    monkeypatch.setattr(nets, "_PART_SAMPLES", 2**8)
    monkeypatch.setattr(nets, "_MOST_PARTS", most_parts)
    with own_draws(0, CPU) as draws:
        config = PRESETS["tiny"]
        module = draws.make(lambda: CitrusNetwork(config, 2, 3))
        for layer in module.trunk.transformer.layers:
            layer.dropout.p = layer.dropout1.p = layer.dropout2.p = dropout
            layer.self_attn.dropout = dropout
        with torch.no_grad():
            module.head.linear.weight.normal_(generator=draws.generator)
        net = make_net(module, 3, CPU, frozen=False, optimizer=torch.optim.SGD, draws=draws, lr=0.0)
        x = torch.randn(10, 2, 128, generator=draws.generator)
        batch = {"x": x, "weight": torch.rand(10, generator=draws.generator)}, torch.arange(10) % 3
        step = net.train_step_single(batch)
    return step["loss"].item(), [weight.grad for weight in module.parameters()]


def test_a_batch_in_parts_has_the_gradients_of_the_whole_batch(monkeypatch):
    loss, whole = gradients(monkeypatch, 1, dropout=0.0)
    loss_of_parts, parts = gradients(monkeypatch, 4, dropout=0.0)
    assert loss == pytest.approx(loss_of_parts, rel=1e-5)
    assert sum(weight is not None and bool(weight.abs().max() > 0) for weight in whole) > 20
    for one, other in zip(whole, parts, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-6)


def test_parts_draw_their_own_dropout(monkeypatch):
    first, second = (gradients(monkeypatch, 4, dropout=0.5)[0] for _ in range(2))
    assert first == second
    assert first != pytest.approx(gradients(monkeypatch, 4, dropout=0.0)[0], rel=1e-3)


def test_results_are_in_order_and_each_task_has_one_thread(threads, two_blas_threads):
    threads(3)
    arrived = threading.Barrier(3, timeout=20)

    def task(value):
        arrived.wait()  # three tasks run at the same time
        return value, torch.get_num_threads(), blas_threads()

    with one_thread_each(blas=True):
        found = in_threads(task, range(3))
    assert [value for value, *_ in found] == [0, 1, 2]
    assert {n for _, n, _ in found} == {1}
    assert {n for _, _, numbers in found for n in numbers} == {1}


def test_limits_are_restored_after_overlaps_and_errors(threads, two_blas_threads):
    threads(2)
    inside, leave = threading.Event(), threading.Event()

    def other():
        with one_thread_each(blas=True):
            inside.set()
            leave.wait(20)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(20)
    with pytest.raises(ZeroDivisionError), one_thread_each(blas=True):  # noqa: PT012
        with one_thread_each():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1  # the inner block restores what it found
        in_threads(lambda value: 1 // value, [1, 0])
    assert torch.get_num_threads() == 2
    assert set(blas_threads()) == {1}  # the other block is still open
    leave.set()
    thread.join()
    assert set(blas_threads()) == {2}
    new = []
    thread = threading.Thread(target=lambda: new.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert new == [2]
