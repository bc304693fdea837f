"""The ordinary target's side of a login: keys and CHAP. RFC 7143 sections 6, 12 and 13."""

import base64
import hashlib
import os

# Key: how two values become one, and what this target says by default.
MINIMUM, MAXIMUM, OR, AND, LIST, OWN = range(6)
KEYS = {
    "HeaderDigest": (LIST, "None,CRC32C"), "DataDigest": (LIST, "None,CRC32C"),
    "MaxConnections": (MINIMUM, "1"), "InitialR2T": (OR, "No"), "ImmediateData": (AND, "Yes"),
    "MaxRecvDataSegmentLength": (OWN, "8192"), "MaxBurstLength": (MINIMUM, "16777215"),
    "FirstBurstLength": (MINIMUM, "16777215"), "DefaultTime2Wait": (MAXIMUM, "0"),
    "DefaultTime2Retain": (MINIMUM, "3600"), "MaxOutstandingR2T": (MINIMUM, "65535"),
    "DataPDUInOrder": (OR, "No"), "DataSequenceInOrder": (OR, "No"),
    "ErrorRecoveryLevel": (MINIMUM, "0"), "TaskReporting": (LIST, "RFC3720"),
    "iSCSIProtocolLevel": (MINIMUM, "1"),
}
DECLARED = {"InitiatorName", "InitiatorAlias", "SessionType", "TargetName", "TargetAddress",
            "TargetAlias", "TargetPortalGroupTag"}
IRRELEVANT_IN_DISCOVERY = {
    "MaxConnections", "InitialR2T", "ImmediateData", "MaxBurstLength", "FirstBurstLength",
    "MaxOutstandingR2T", "DataPDUInOrder", "DataSequenceInOrder"}
HASHES = {"5": "md5", "6": "sha1", "7": "sha256", "8": "sha3_256"}
USER, SECRET = "anna", "twelve-or-more-chars"
TARGET_USER, TARGET_SECRET = "storage", "another-secret-of-16"


def chosen(key, offered, wanted, is_discovery=False):
    """What the target answers to `key=offered`, or None for a declaration."""
    if key in DECLARED:
        return None
    if key not in KEYS:
        return "NotUnderstood"
    if is_discovery and key in IRRELEVANT_IN_DISCOVERY:
        return "Irrelevant"
    rule = KEYS[key][0]
    mine = wanted.get(key, KEYS[key][1])
    if rule == OWN:
        return mine
    if rule == LIST:
        ours = mine.split(",")
        shared = [one for one in ours if one in offered.split(",")]
        return shared[0] if shared else offered.split(",")[-1]
    try:
        return merged(rule, offered, mine)
    except ValueError:
        return "Reject"


def merged(rule, offered, mine):
    if rule in (MINIMUM, MAXIMUM):
        pick = min if rule == MINIMUM else max
        return str(pick(int(offered, 0), int(mine, 0)))
    if offered not in ("Yes", "No"):
        raise ValueError(offered)
    both = (offered == "Yes", mine == "Yes")
    return "Yes" if (any(both) if rule == OR else all(both)) else "No"


def chap_response(algorithm, identifier, secret, challenge):
    return hashlib.new(HASHES[algorithm],
                       bytes([identifier]) + secret.encode() + challenge).digest()


def binary(text):
    """The bytes of a binary value, or None. Section 6.1."""
    try:
        if text[:2] in ("0x", "0X"):
            digits = text[2:]
            return bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits)
        if text[:2] in ("0b", "0B"):
            return base64.b64decode(text[2:], validate=True)
    except ValueError:
        pass
    return None


class Chap:
    """The authenticator's side, and when asked the proof of the target."""

    def __init__(self, challenge=None, target_secret=TARGET_SECRET, wanted=None):
        self.wanted = wanted
        self.identifier = 7
        self.text = challenge or "0x" + os.urandom(16).hex()
        if "*" in self.text:  # 0xab*512: the digits many times.
            digits, count = self.text[2:].split("*")
            self.text = self.text[:2] + digits * int(count)
        self.challenge = binary(self.text) or b""
        self.target_secret = target_secret
        self.algorithm = None
        self.is_done = False
        self.proves = False

    def answer(self, keys):
        """Pairs for these keys of the initiator; None refuses it."""
        if "CHAP_A" in keys:
            shared = [one for one in keys["CHAP_A"].split(",") if one in HASHES]
            if self.wanted is not None:
                shared = [one for one in shared if one == self.wanted]
            if not shared:
                return None
            self.algorithm = shared[0]
            return [("CHAP_A", self.algorithm), ("CHAP_I", str(self.identifier)),
                    ("CHAP_C", self.text)]
        if "CHAP_R" not in keys or self.algorithm is None or keys.get("CHAP_N") != USER:
            return None
        right = chap_response(self.algorithm, self.identifier, SECRET, self.challenge)
        if binary(keys["CHAP_R"]) != right:
            return None
        self.is_done = True
        if "CHAP_C" not in keys:
            return []
        challenge = binary(keys["CHAP_C"])
        if challenge is None or not keys.get("CHAP_I", "").isdigit():
            return None
        self.proves = True
        proof = chap_response(self.algorithm, int(keys["CHAP_I"]), self.target_secret, challenge)
        return [("CHAP_N", TARGET_USER), ("CHAP_R", "0x" + proof.hex())]
