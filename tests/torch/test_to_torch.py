"""A JAX function among tensors: values, gradients, dtypes, views, and what is overwritten in place."""

import dataclasses
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx

torch = pytest.importorskip("torch")
from spanax.torch import to_torch  # noqa: E402

# Of PyTorch's own, when it first meets forward mode.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

FLOATS = [torch.float16, torch.bfloat16, torch.float32]
INTEGERS = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32]


def of(*shape, dtype=torch.float32, seed=0, grad=True):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(dtype).requires_grad_(grad)


def gradients(y, x, ct):
    return torch.autograd.grad(y, x, ct, retain_graph=True)


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Pair:
    a: object
    b: object


# -- values and gradients


@pytest.mark.parametrize("jit", [True, False])
def test_gradients_are_those_of_the_same_function_in_torch(jit):
    f = to_torch(lambda x, w: jnp.sum(jnp.sin(x @ w) ** 2), jit=jit)
    x, w = of(5, 3), of(3, 2, seed=1)
    ours, theirs = f(x, w), (torch.sin(x @ w) ** 2).sum()
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradients(ours, (x, w), None), gradients(theirs, (x, w), None))


def test_pytrees_statics_and_constants():
    def f(tree, power, *, name, scale=None, offset):
        assert name == "sines" and scale is None and isinstance(power, int)
        return Pair({"y": jnp.sin(tree["x"]) ** power}, [tree["pair"].a + offset, tree["pair"].b, (name, None, power)])

    x, a = of(4), of(seed=1)
    tree = {"x": x, "pair": Pair(a, torch.arange(2))}
    out = to_torch(f)(tree, 2, name="sines", offset=np.float32(1) * np.ones(()))
    assert isinstance(out, Pair) and out.b[2][:2] == ("sines", None)
    assert isinstance(out.b[2][2], torch.Tensor) and out.b[2][2] == 2 and not out.b[2][2].requires_grad
    torch.testing.assert_close(out.a["y"], torch.sin(x) ** 2)
    assert out.b[1].tolist() == [0, 1] and not out.b[1].requires_grad
    (out.a["y"].sum() + out.b[0]).backward()
    torch.testing.assert_close(x.grad, (2 * x.sin() * x.cos()).detach())
    assert a.grad == 1


def test_statics_that_are_equal_are_told_apart():
    f = to_torch(lambda x, how: x / how if isinstance(how, float) else x if how is True else x * (1 + how))
    x = of(grad=False)
    assert f(x, 1) == 2 * x and f(x, True) == x and f(x, 1.0) == x
    assert torch.signbit(f(torch.tensor(1.0), -0.0)) and not torch.signbit(f(torch.tensor(1.0), 0.0))


def test_compiled_once_for_each_shape():
    traced = []

    def f(x, n):
        traced.append((x.shape, n))
        return jnp.sin(x) * n

    g = to_torch(f)
    for _ in range(3):
        for n in (1, 2):
            g(of(3), n).sum().backward()
            g(of(2), n).sum().backward()
    assert sorted(traced) == [((2,), 1), ((2,), 2), ((3,), 1), ((3,), 2)]


def test_the_forward_pass_runs_once_and_only_what_is_needed_is_differentiated():
    calls = []

    def count(x):
        calls.append(1)
        return np.asarray(x)

    @jax.custom_vjp
    def counted(x):
        return jax.pure_callback(count, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    counted.defvjp(lambda x: (counted(x), None), lambda _, ct: (ct,))
    f = to_torch(lambda x, w: counted(x) * w)
    x, w = of(3), of(3, seed=1, grad=False)
    y = f(x, w)
    y.sum().backward()
    assert len(calls) == 1
    torch.testing.assert_close(x.grad, w)
    assert w.grad is None
    with torch.no_grad():
        assert not f(x, w).requires_grad
    assert not f(x.detach(), w).requires_grad
    with torch.inference_mode():
        torch.testing.assert_close(f(x, w), y.detach())


def test_results_that_nothing_moves_require_no_gradient():
    f = to_torch(lambda x: (jnp.sin(x), jnp.round(x), jnp.argmax(x), jnp.ones(2), jax.jit(jnp.sign)(x)))
    x = of(3)
    out = f(x)
    assert [y.requires_grad for y in out] == [True, False, False, False, False]
    with pytest.raises(RuntimeError, match="does not require grad"):
        out[1].sum().backward()
    (out[0] + out[1]).sum().backward()  # a loss that has both is right
    torch.testing.assert_close(x.grad, x.cos().detach())


def test_results_without_arrays_and_calls_without_tensors():
    x = of(3)
    assert to_torch(lambda x: None)(x) is None and to_torch(lambda x: {"a": None})(x) == {"a": None}
    assert to_torch(lambda: jnp.ones(2))().tolist() == [1, 1]
    torch.testing.assert_close(gradients(to_torch(lambda a, b: a @ b)(x, x), x, None)[0], (2 * x).detach())


def test_one_of_several_results_is_used():
    f = to_torch(lambda x, w: (x * w, w**2, jnp.sum(x)))
    x, w = of(3), of(3, seed=1)
    y, square, _ = f(x, w)
    torch.testing.assert_close(gradients(square, w, torch.ones(3))[0], (2 * w).detach())
    unused, grad = gradients(square, (x, w), torch.ones(3))
    assert unused.tolist() == [0.0, 0.0, 0.0]
    torch.testing.assert_close(gradients(y, x, torch.ones(3))[0], w.detach())


def test_backward_twice_and_what_it_frees():
    x = of(3)
    y = to_torch(lambda x: jnp.sum(jnp.exp(x)))(x)
    y.backward(retain_graph=True)
    y.backward()
    torch.testing.assert_close(x.grad, 2 * x.exp().detach())
    with pytest.raises(sx.SpanaxError, match="residuals the first one has freed"):
        y.backward()


def test_higher_derivatives(x64):
    f = to_torch(lambda x, k: (jnp.sin(x) * k, jnp.sum(x**3) * k, jnp.arange(3)))
    x, k = of(3, dtype=torch.float64), of(dtype=torch.float64, seed=1)
    floats = lambda *args: f(*args)[:2]
    assert torch.autograd.gradcheck(floats, (x, k), check_forward_ad=True, check_undefined_grad=True)
    assert torch.autograd.gradgradcheck(floats, (x, k))
    g = to_torch(lambda x: jnp.sum(jnp.sin(x)))
    slope = g(x)
    for want in (x.cos(), -x.sin(), -x.cos()):
        (slope,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
        torch.testing.assert_close(slope, want)


def test_complex_numbers_have_the_gradients_of_torch(x64):
    f = to_torch(lambda z: (jnp.sin(z) * z, jnp.abs(z), z.imag**2))
    z = torch.tensor([1 + 2j, -0.5j + 0.3], dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(f, (z,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(f, (z,))


# -- dtypes, shapes, memory


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)], ids=str)
@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, torch.complex64, torch.uint16, torch.uint32], ids=str)
def test_every_dtype_and_shape_comes_back_as_it_was(dtype, shape):
    x = torch.ones(shape, dtype=torch.float32).to(dtype)
    is_float = dtype.is_floating_point or dtype.is_complex
    y = to_torch(lambda x: x)(x.requires_grad_(is_float))
    assert y.dtype == dtype and y.shape == shape and y.requires_grad == is_float
    assert torch.equal(y.detach().to(torch.complex64), x.detach().to(torch.complex64))
    if is_float:
        (g,) = torch.autograd.grad(y, x, torch.ones_like(y))
        assert g.dtype == dtype and torch.equal(g, torch.ones_like(x))


def test_wide_numbers():
    f = to_torch(lambda x: x)
    with pytest.raises(sx.SpanaxError, match="tensor of float64, and JAX is set to single") as error:
        f(torch.ones(2, dtype=torch.float64))
    assert "jax_enable_x64" in str(error.value) and "test_to_torch.py" in error.value.where
    with pytest.raises(sx.SpanaxError, match="complex128"):
        f(torch.ones(2, dtype=torch.complex128))
    with pytest.raises(sx.SpanaxError, match="array of float64"):
        f(np.ones(2))
    y = f(torch.tensor([3, -(2**31)]))
    assert y.dtype == torch.int32 and y.tolist() == [3, -(2**31)]
    for far in (2**31, -(2**31) - 1):
        with pytest.raises(sx.SpanaxError, match=f"int64 with {far}, and JAX is set to 32-bit"):
            f(torch.tensor([1, far]))
    with jax.enable_x64(True):
        assert f(torch.tensor([2**40])).tolist() == [2**40]
        assert f(torch.ones(2, dtype=torch.float64)).dtype == torch.float64


def test_the_backward_pass_is_as_precise_as_the_forward_pass():
    x = of(3, dtype=torch.float64)
    with jax.enable_x64(True):
        y = to_torch(lambda x: jnp.sin(x) @ x)(x)
    y.backward()
    torch.testing.assert_close(x.grad, (x.cos() * x + x.sin()).detach(), rtol=1e-14, atol=0)


def test_tensors_on_the_host_stay_there_whatever_jax_prefers(monkeypatch):
    from spanax.torch._crossing import arrays

    asked = []
    monkeypatch.setattr(arrays, "_is_host_alone", lambda: False)  # as if there were a GPU
    on_the_host = arrays.on_the_host
    monkeypatch.setattr(arrays, "on_the_host", lambda: asked.append(1) or on_the_host())
    x = of(3)
    to_torch(lambda x: jnp.sum(jnp.sin(x)))(x).backward()
    torch.testing.assert_close(x.grad, x.cos().detach())
    assert len(asked) == 2  # forward and backward
    with jax.default_device(jax.devices("cpu")[0]):
        to_torch(lambda x: x)(x)
    assert len(asked) == 2


def views():
    base, z = of(4, 6, grad=False), of(3, 4, dtype=torch.complex64, grad=False)
    z = z + 1j * of(3, 4, seed=5, grad=False)
    return {
        "transposed": base.T,
        "strided": base[::2, 1::2],
        "rows repeated": base[:1].expand(3, 6),
        "one number": torch.tensor(2.0).expand(3, 3),
        "misaligned": of(13, grad=False)[1:].view(4, 3),
        "offset": base[1:, 1:],
        "conjugated": z.conj(),
        "adjoint": z.mH,
        "negated": z.conj().imag,
    }


@pytest.mark.parametrize("name", views())
def test_views_and_gradients_that_are_views(name):
    x = views()[name].requires_grad_()
    ours, theirs = to_torch(lambda x: jnp.sin(x) * 2)(x), torch.sin(x) * 2
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    rows, columns = x.shape
    whole = torch.randn(columns, rows, generator=torch.Generator().manual_seed(1)).to(x.dtype)
    cts = [whole.T, torch.ones((), dtype=x.dtype).expand(x.shape), whole.flip(0).T[:, ::1]]
    if x.is_complex():
        cts.append((whole + 2j * whole).T.conj())
    for ct in cts:
        torch.testing.assert_close(gradients(ours, x, ct), gradients(theirs, x, ct), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("jit", [True, False])
def test_what_is_overwritten_reaches_nothing_that_is_kept(jit):
    constant = jnp.arange(3.0)
    f = to_torch(lambda x: (x, constant, x.reshape(1, 3), jnp.exp(x)), jit=jit)
    x = of(3)
    within = x * 1
    out = f(within)
    before = x.detach().clone()
    for y in out:
        y.detach().fill_(7.0)  # results
    within.detach().zero_()  # and the argument, before backward
    (out[0].sum() + out[3].sum()).backward()
    torch.testing.assert_close(x.grad, 1 + before.exp())
    assert constant.tolist() == [0, 1, 2]


def test_an_argument_that_the_derivative_needs_and_that_is_overwritten_raises_as_in_torch():
    f = to_torch(lambda x, w: x @ w)
    x, w = of(2, 3), of(3, 2, seed=1)
    within = x * 1
    y = f(within, w)
    within.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    y = f(x * 1, w)
    y.mul_(2)  # a result may be
    y.sum().backward()
    torch.testing.assert_close(x.grad, 2 * w.sum(1).detach().expand(2, 3))


def test_numpy_arrays_and_arrays_of_jax_are_constants():
    x, a = of(3), np.ones(3, np.float32)
    f = to_torch(lambda x, a, b: x * a * b)
    y = f(x, a, jnp.full(3, 2.0))
    a[:] = 0  # JAX has a copy
    y.sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_a_callback_may_need_pythons_lock():
    def host(x):
        return np.asarray(x) * 2

    f = to_torch(lambda x: jax.pure_callback(host, jax.ShapeDtypeStruct(x.shape, x.dtype), x) @ x)
    assert f(torch.ones(300, 300)).sum() == 2 * 300**3


def test_threads():
    f, errors = to_torch(lambda x: jnp.sum(jnp.sin(x) * x)), []

    def work(seed):
        for n in range(20):
            x = of(50, seed=seed + n)
            f(x).backward()
            if not torch.allclose(x.grad, x.cos() * x + x.sin(), atol=1e-5):
                errors.append(seed)

    threads = [threading.Thread(target=work, args=(100 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


# -- errors


def test_what_cannot_cross():
    f = to_torch(lambda x: x)
    cases = {
        "meta device": torch.ones(2, device="meta"),
        "not dense": torch.ones(2).to_sparse(),
        "neither a tensor nor hashable": {1, 2},
        "a torch module as an argument": torch.nn.Linear(1, 1),
        "float8_e4m3fn": torch.ones(2).to(torch.float8_e4m3fn),
    }
    for message, x in cases.items():
        with pytest.raises(sx.SpanaxError, match=message):
            f(x)
    with pytest.raises(sx.SpanaxError, match="tensors on cpu and on meta"):
        to_torch(lambda x, y: x)(torch.ones(2), torch.ones(2, device="meta"))
    with pytest.raises(sx.SpanaxError, match="an array that JAX traces"):
        jax.jit(f)(jnp.ones(2))
    with pytest.raises(sx.SpanaxError, match="a result of key"):
        to_torch(lambda x: jax.random.key(0))(torch.ones(2))
    for bad in (3, torch.nn.Linear(1, 1)):
        with pytest.raises(sx.SpanaxError, match="to_torch"):
            to_torch(bad)
    with pytest.raises(sx.SpanaxError, match="jit=1"):
        to_torch(lambda x: x, jit=1)


def test_errors_of_the_function_arrive_as_they_are():
    def f(x):
        raise sx.SpanaxError("mine", "a remedy")

    for x in (of(2), of(2, grad=False)):
        with pytest.raises(sx.SpanaxError, match=r"^mine"):
            to_torch(f)(x)
    with pytest.raises(ZeroDivisionError):
        to_torch(lambda x: x / (1 // 0))(of(2))
    hard = to_torch(lambda x: sx.hard.greater(x, 0.0))
    assert hard(of(2, grad=False)).dtype == torch.float32
    with pytest.raises(sx.SpanaxError, match="the derivative of greater"):
        hard(of(2))


def test_values_that_change_from_call_to_call_warn():
    f = to_torch(lambda x, n: x * n)
    with pytest.warns(sx.SpanaxWarning, match="compiled <lambda> 64 times"):
        for n in range(66):
            f(torch.ones(()), n)
