"""Many unrelated destinations that lose, and regain, their TLS or their signatures at one stroke."""

from .rogue_mx import RogueMx, Script
from .world import FreshDomain
from .zones import Dns


class Crowd:
    """One host per domain, all of them with the same script.

        crowd = lab.crowd()
        crowd.set_tls(False)        # nobody offers STARTTLS any more; kept connections end
        crowd.set_tls(True, [3])    # but this one
        crowd.set_bogus(True)       # every zone's signatures are damaged
    """

    def __init__(self, dns: Dns, domains: tuple[FreshDomain, ...], script: Script) -> None:
        self.domains = domains
        self._dns = dns
        self._scripts = (script, script.but(offers_starttls=False))
        self._is_bogus = False
        self.hosts = [RogueMx(domain.addresses[0], script, host=domain.hosts[0]) for domain in domains]

    def recipients(self, local_part: str = "bob") -> list[str]:
        return [f"{local_part}@{domain.name}" for domain in self.domains]

    def set_tls(self, has_tls: bool, which: list[int] | None = None) -> None:
        """With or without STARTTLS from the next connection on; all of them, or those numbers."""
        for number in range(len(self.hosts)) if which is None else which:
            self.hosts[number].script = self._scripts[0 if has_tls else 1]
            self.hosts[number].hang_up()

    def set_bogus(self, is_bogus: bool) -> None:
        self._dns.set_bogus([domain.name for domain in self.domains], is_bogus)
        self._is_bogus = is_bogus

    def stop(self) -> None:
        for host in self.hosts:
            host.stop()
        if self._is_bogus:
            self.set_bogus(False)
