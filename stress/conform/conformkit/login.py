"""The ordinary target's login phase. RFC 7143 section 6.3."""

from . import negotiation
from .draft import Draft, text_of

TARGET_NAME = "iqn.2026-01.test.conform:disk"
GROUP_TAG = "1"
OK, REFUSED, NOT_FOUND, NO_SESSION, MISSING = 0, 0x0201, 0x0203, 0x020a, 0x0207
TEXT_MAX = 8192


class Login:
    """One login on one connection; the keys of all requests are gathered."""

    def __init__(self, target, link):
        self.target = target
        self.link = link
        self.text = b""
        self.offered = {}
        self.agreed = {}
        self.has_declared = False
        self.unsent = b""
        self.proposed = set()  # Keys of which the target spoke first.
        settings = target.case.settings
        self.rounds = int(settings.get("extra_rounds", "0"))
        self.chap = None
        if "chap" in settings:
            self.chap = negotiation.Chap(settings.get("challenge"),
                                         settings.get("target_secret", negotiation.TARGET_SECRET),
                                         settings.get("hash"))

    @property
    def is_discovery(self):
        return self.offered.get("SessionType") == "Discovery"

    def take(self, request):
        """Answers one Login Request."""
        self.text += request.data
        if request.bhs[1] & 0x40:
            return self.respond(request, b"", stays=True)
        pairs = [one.partition(b"=") for one in self.text.split(b"\0") if one]
        self.text = b""
        keys = {key.decode("utf-8", "replace"): value.decode("utf-8", "replace")
                for key, _, value in pairs}
        if self.unsent:
            return self.respond(request, b"")
        self.proposed = set(self.link.record.answered) - set(self.offered)
        self.offered.update(keys)
        stage = (request.bhs[1] >> 2) & 3
        answers = self.security(keys) if stage == 0 else self.operational(keys)
        if isinstance(answers, int):
            return self.refuse(request, answers)
        if "TargetName" in keys and keys["TargetName"] != TARGET_NAME:
            return self.refuse(request, NOT_FOUND)
        if not self.has_declared and "TargetName" in self.offered:
            answers.append(("TargetPortalGroupTag", GROUP_TAG))
            self.has_declared = True
        answers = [(key, value) for key, value in answers if value != "-"]
        stays = self.must_stay(stage)
        return self.respond(request, text_of(answers), stays=stays)

    def must_stay(self, stage):
        if stage == 0 and self.chap is not None and not self.chap.is_done:
            return True
        if stage == 1 and self.rounds > 0:
            self.rounds -= 1
            return True
        return False

    def security(self, keys):
        answers = []
        if "AuthMethod" in keys:
            methods = keys["AuthMethod"].split(",")
            wanted = "CHAP" if self.chap is not None else "None"
            if wanted not in methods:
                return REFUSED
            answers.append(("AuthMethod", wanted))
        if self.chap is not None and any(key.startswith("CHAP_") for key in keys):
            more = self.chap.answer(keys)
            if more is None:
                return REFUSED
            answers += more
        return answers

    def operational(self, keys):
        if self.chap is not None and not self.chap.is_done:
            return REFUSED
        wanted = self.target.case.keys
        answers = []
        for key, value in keys.items():
            is_answer = key in self.proposed or value in ("NotUnderstood", "Reject", "Irrelevant")
            if is_answer or key == "AuthMethod" or key.startswith("CHAP_"):
                continue
            answer = negotiation.chosen(key, value, wanted, self.is_discovery)
            if wanted.get(key) == "-":
                continue
            if answer is not None:
                answers.append((key, answer))
                self.agreed[key] = answer
        return [(key, self.within_max_burst(value) if key == "FirstBurstLength" else value)
                for key, value in answers]

    def within_max_burst(self, value):
        """FirstBurstLength never exceeds MaxBurstLength. Section 13.14."""
        most = self.agreed.get("MaxBurstLength", "")
        if value.isdigit() and most.isdigit():
            return str(min(int(value), int(most)))
        return value

    def refuse(self, request, status):
        response = Draft("LOGIN_RESPONSE", flags=0, status=status)
        self.link.reply(response, request)
        self.link.finish()

    def respond(self, request, text, stays=False):
        self.unsent += text
        response = Draft("LOGIN_RESPONSE", flags=0)
        stage = (request.bhs[1] >> 2) & 3
        response.set("csg", stage)
        response.data, self.unsent = self.unsent[:TEXT_MAX], self.unsent[TEXT_MAX:]
        if self.unsent:
            response.set("C", 1)
        elif request.bhs[1] & 0x80 and not stays:
            response.set("T", 1)
            response.set("nsg", request.bhs[1] & 3)
            if request.bhs[1] & 3 == 3 and not self.complete(request, response):
                return
        self.link.reply(response, request)

    def complete(self, request, response):
        """The session of a login that is through; False when it was refused."""
        missing = {"InitiatorName"} | (set() if self.is_discovery else {"TargetName"})
        if not missing <= set(self.offered):
            self.refuse(request, MISSING)
            return False
        session = self.target.session_of(self.link, request, self)
        if session is None:
            self.refuse(request, NO_SESSION)
            return False
        response.set("tsih", session.tsih)
        return True
