"""Which equations of a traced program are the user's own, and which a library's."""

from __future__ import annotations

from ..._jaxprs import CUSTOM_RULES, Jaxpr, JaxprEqn, P, below, body, jaxprs_in_params, programs, source_file
from ..._places import Place, is_choice, is_library_file, is_library_program, is_not_jax, is_users, place
from ...stochastic.sampling import cost_p, sample_p


class UserCode:
    """Whose code each equation of one program is: the user's; or, in a program that is a library's altogether, that library's."""

    def __init__(self, jaxpr: Jaxpr):
        self._places: dict[int, Place | None] = {}
        self._library: dict[int, bool] = {}
        self._compiled: dict[int, bool] = {}
        self._locate(jaxpr, False, set())
        self._own = is_users
        # The whole function may be a library's, such as a model of Equinox that is given to find_gaps as it is. Then
        # the lines of that library count as the user's, since there are no others.
        if self.is_library(jaxpr):
            self._own = is_not_jax
            self._places.clear()
            self._library.clear()

    def place(self, eqn: JaxprEqn) -> Place | None:
        """The expression of the user's that made it; None where a library did."""
        if id(eqn) not in self._places:
            self._places[id(eqn)] = place(eqn, self._own, self._compiled.get(id(eqn), False))
        return self._places[id(eqn)]

    def is_library(self, jaxpr: Jaxpr) -> bool:
        """Does no equation in it, at any depth, come from a line of its own?"""
        if id(jaxpr) not in self._library:
            self._library[id(jaxpr)] = not any(below(e, lambda e: self.place(e) is not None) for e in jaxpr.eqns)
        return self._library[id(jaxpr)]

    def holds_user_code(self, eqn: JaxprEqn) -> bool:
        """Is it an equation whose program is looked into for gaps of its own?"""
        if eqn.primitive is sample_p or eqn.primitive is cost_p:
            return True
        # A custom rule is what its author promised: what is cut inside is meant.
        if eqn.primitive in CUSTOM_RULES:
            return False
        if eqn.primitive is P.cond_p and (mine := self.place(eqn)) and is_choice(mine):
            return True  # the choice is the user's, whoever wrote the branches
        return not all(map(self.is_library, programs(eqn)))

    def wraps_user_code(self, eqn: JaxprEqn) -> bool:
        """A library's adjoint around the user's code (an ODE solver's, say) passes on what that code does to a derivative."""
        inner = body(eqn)[0]
        return is_library_file(source_file(inner)) and not self.is_library(inner)

    def _locate(self, jaxpr: Jaxpr, compiled: bool, seen: set[int]) -> None:
        """Notes for each equation whether it stands in the compiled program of a library function."""
        seen.add(id(jaxpr))
        for eqn in jaxpr.eqns:
            self._compiled[id(eqn)] = compiled
            for inner in jaxprs_in_params(eqn.params):
                if id(inner) not in seen:
                    file = source_file(inner) if eqn.primitive is P.jit_p else ""
                    # JAX keeps the traced program of a jitted library function, with the lines of whoever called it
                    # first, so places inside it are not believed.
                    kept = compiled and eqn.primitive is not P.custom_vjp_call_p  # these are traced for each caller
                    self._locate(inner, is_library_program(file) if file else kept, seen)
