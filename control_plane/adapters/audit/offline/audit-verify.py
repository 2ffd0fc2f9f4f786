#!/usr/bin/env python3
# fmt: off - an auditor reads this file from end to end, so it is kept short
"""Verify a dossier of a tenantplane audit log, offline: python -I audit-verify.py FILE.zip

It needs Python 3.11 and nothing else: no network, no database, no product. The log is hashed as
RFC 6962 says, its heads are C2SP checkpoints, and signatures are Ed25519 of RFC 8032.
"""
import argparse, base64, functools, hashlib, json, os, re, struct, sys, time, zipfile, zlib
from collections import Counter
from contextlib import contextmanager
from datetime import datetime, timezone

EXITS = {  # those that `tenantctl audit verify` has too are the same there
    "BADSIG": 10, "TAMPERED": 10, "REWRITTEN": 10, "FORKED": 10, "UNSIGNED": 10, "MISDATED": 11,
    "MALFORMED": 11, "GAP": 12, "UNWITNESSED": 13, "BADDISCLOSURE": 14, "CONTROL": 15,
    "PARTIAL": 16, "BADFILE": 17}
CHECKS = (  # number, what it says when all is well, what it finds
    (1, "every checkpoint is signed by a key that is {key}", "BADSIG"),
    (2, "the quorum of witnesses was reached: {quorum}", "UNWITNESSED"),
    (3, "every entry has the hash that was signed", "TAMPERED UNSIGNED"),
    (4, "the log extends the checkpoints that you gave: {pins}", "REWRITTEN"),
    (5, "all {checkpoints} checkpoints are of one history", "FORKED"),
    (6, "every entry has its closed form, a known schema and this log", "MALFORMED MISDATED"),
    (7, "no index is missing: {entries} entries", "GAP BADFILE"),
    (8, "disclosed values open their commitments: {opened}; erased: {erased}", "BADDISCLOSURE"),
    (9, "what was applied keeps the controls: {controls}", "CONTROL"),
    (10, "the log goes from {from} to {to}", "PARTIAL"))
CONTROLS = ("approved", "other_person", "same_plan", "still_valid", "rules", "holds", "signed")
FIXED = {*("MANIFEST.json README.txt audit-verify.py disclosures.json entries.csv entries.ndjson "
           "keys.json log/checkpoint page.html schemas.json trust.policy").split()}
OTHER = re.compile(r"log/(unsigned|checkpoints/[0-9]+|tile/([0-7]|entries)/(x[0-9]{3}/)*[0-9]{3}"
                   r"(\.p/[0-9]+)?)|platform\.ndjson|platform/checkpoint|root\.json")
BROKEN = (ValueError, LookupError, TypeError, AttributeError, RuntimeError, OSError, EOFError,
          ArithmeticError, MemoryError, struct.error, zlib.error, zipfile.BadZipFile)
sha256 = hashlib.sha256

class Bad(ValueError):
    """What is wrong, in a sentence."""
def need(is_so, otherwise):
    if not is_so:
        raise Bad(otherwise)
def reason(error):
    return str(error) if isinstance(error, Bad) else f"it cannot be read ({type(error).__name__})"

# --- Ed25519, RFC 8032 section 5.1: only the canonical forms ------------------------------------
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, BASE = -121665 * pow(121666, -1, P) % P, (4 * pow(5, -1, P) % P).to_bytes(32, "little")

def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P

@functools.lru_cache(maxsize=64)
def multiples(key, sign=1):
    """Return the multiples of a public key, or of its negative, by each digit of 4 bits."""
    odd, y, rows = key[31] >> 7, int.from_bytes(key, "little") & (1 << 255) - 1, []
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    need(len(key) == 32 and y < P and (x * x - square) % P == 0 and (x or not odd), "a key is not a point")
    x = (x if x & 1 == odd else P - x) * sign % P
    base = x, y, 1, x * y % P
    for _ in range(64):
        row = [(0, 1, 1, 0)]
        for _ in range(16):
            row.append(add(row[-1], base))
        rows, base = [*rows, row], row[16]
    return rows

def is_signed(key, message, signature):
    """Tell whether the 64 bytes are the key's signature over the message."""
    s, total = int.from_bytes(signature[32:], "little"), (0, 1, 1, 0)
    if len(signature) != 64 or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    for rows, number in ((multiples(BASE), s), (multiples(key, -1), h)):
        for place, row in enumerate(rows):
            total = add(total, row[number >> 4 * place & 15])
    over = pow(total[2], -1, P)
    found = total[1] * over % P | (total[0] * over % P & 1) << 255
    return found.to_bytes(32, "little") == signature[:32]

# --- notes, checkpoints, policies: c2sp.org/signed-note, tlog-checkpoint, tlog-cosignature ------
def base64_of(text):
    content = base64.b64decode(text, validate=True)
    need(base64.b64encode(content).decode() == text, "base64 is not in its proper spelling")
    return content

def vkey(text):
    """Return (name, key id, type, public key) of a verifier key."""
    name, key_id, encoded = text.split("+", 2)
    blob = base64_of(encoded)
    wanted = sha256(name.encode() + b"\n" + blob).digest()[:4]
    need(len(blob) == 33 and blob[0] in {1, 4} and wanted.hex() == key_id, "a vkey is malformed")
    multiples(blob[1:], -1)
    return name, wanted, blob[0], blob[1:]

def open_note(content, origin, keys):
    """Return (size, root, those of the keys that signed it) of a checkpoint of this log."""
    note, known, signed = content.decode(), {key[:2]: key for key in keys}, set()
    text, blank, tail = note.rpartition("\n\n")
    lines, signatures = text.split("\n"), tail.split("\n")
    need(blank and not re.search(r"[\x00-\x09\x0b-\x1f]", note) and signatures.pop() == "" and len(
        lines) == 3 and re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]), "it is not a signed checkpoint")
    root = base64_of(lines[2])
    need(lines[0] == origin and len(root) == 32, "it belongs to another log, or its root is malformed")
    need(len(signatures) <= 64, "it has too many signatures")
    for match in (re.fullmatch(r"— ([^\s+]+) (\S+)", line) for line in signatures):
        need(match and len(match[2]) > 7, "a signature line is malformed")
        blob, message = base64_of(match[2]), text.encode() + b"\n"
        key, signature = known.get((match[1], blob[:4])), blob[4:]
        if key and key[2] == 4:  # a witness, which says when it saw the head
            seconds, signature = int.from_bytes(signature[:8], "big"), signature[8:]
            message = b"cosignature/v1\ntime %d\n" % seconds + message
        need(not key or is_signed(key[3], message, signature), "a known key's signature is wrong")
        signed |= {key} if key else set()
    return int(lines[1]), root, signed

class Policy:
    """A trust policy: the keys of the log, and the witnesses that must have seen its head."""
    def __init__(self, text):
        self.logs, self.named, self.quorum = [], {}, "none"
        for line in text.split("\n"):
            word, *rest = line.split("#")[0].split() or [""]
            is_new = len(rest) > 1 and rest[0] not in {"none", *self.named}
            if word == "log" and len(rest) in {1, 2}:
                self.logs.append(vkey(rest[0]))
            elif word == "witness" and is_new and len(rest) < 4:
                self.named[rest[0]] = vkey(rest[1])
            elif word == "group" and is_new:
                least = {"all": len(rest) - 2, "any": 1}.get(rest[1]) or int(rest[1])
                members = {*rest[2:]} & self.named.keys()
                need(0 < least <= len(members) == len(rest) - 2, "a group of the policy is wrong")
                self.named[rest[0]] = [least, members]
            elif word == "quorum" and len(rest) == 1 and rest[0] in {"none", *self.named}:
                self.quorum = rest[0]
            else:
                need(not word, "a line of the policy is malformed")
    def has_quorum(self, signed, name):
        found = self.named.get(name)
        if isinstance(found, list):
            return sum(self.has_quorum(signed, each) for each in found[1]) >= found[0]
        return found in signed or name == "none"

# --- Merkle trees: RFC 6962 section 2.1 ---------------------------------------------------------
def leaf_of(entry):
    return sha256(b"\0" + entry).digest()
@functools.lru_cache(2**15)  # proofs of neighbours share most of their nodes
def node(left, right):
    return sha256(b"\1" + left + right).digest()

def push(stack, item, width=1):
    """Append a perfect subtree to those of a growing tree, the largest first."""
    while stack and stack[-1][1] == width:
        item, width = node(stack.pop()[0], item), width * 2
    stack.append((item, width))

def root_of(stack):
    return functools.reduce(lambda right, left: node(left[0], right), stack[-2::-1],
                            stack[-1][0]) if stack else sha256(b"").digest()

def subtree_of(hashes):
    while len(hashes) > 1:
        hashes = [sha256(b"\1" + a + b).digest() for a, b in zip(hashes[::2], hashes[1::2])]
    return hashes[0]

def is_included(idx, size, leaf, proof, root):
    """Check an inclusion proof as RFC 9162 section 2.1.3.2 says."""
    at, last = idx, size - 1
    if not 0 <= idx < size or any(len(each) != 32 for each in (leaf, root, *proof)):
        return False
    for each in proof:
        if last == 0:
            return False
        leaf = node(each, leaf) if at & 1 or at == last else node(leaf, each)
        while not at & 1 and at == last and at:
            at, last = at >> 1, last >> 1
        at, last = at >> 1, last >> 1
    return last == 0 and leaf == root

def tile(level, at, width):
    path, rest = f"{at % 1000:03d}", at // 1000
    while rest:
        path, rest = f"x{rest % 1000:03d}/{path}", rest // 1000
    return f"log/tile/{level}/{path}" + (f".p/{width}" if width < 256 else "")

def split(content, width):
    """Return texts that follow one another, each after its length in ``width`` bytes."""
    found, at = [], 0
    while at < len(content):
        start, at = at + width, at + width + int.from_bytes(content[at:at + width], "big")
        found.append(content[start:at])
    need(at == len(content), "a list of texts is cut off")
    return found

# --- the form of an entry: docs/audit-log.md, "The event body" ----------------------------------
def number(text):
    need(len(text) <= 17 and abs(int(text)) <= 2**53 - 1, "it holds a number that is too large")
    return int(text)
def refuse(_text):
    raise Bad("it holds a number that is not whole")
decode = json.JSONDecoder(parse_int=number, parse_float=refuse, parse_constant=refuse).decode
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode
is_key = functools.lru_cache(4096)(re.compile("[a-z][a-z0-9_.]*").fullmatch)

def parse(content):
    """Return the JSON value whose canonical form (RFC 8785) the bytes are."""
    value = decode(content.decode())
    need(encode(value).encode("utf-8", "replace") == content, "it is not JSON in its canonical form")
    check_keys(value, 64)
    return value

def check_keys(value, depth):
    need(depth >= 0 and (isinstance(value, list) or all(map(is_key, value))), "it has a bad key")
    for each in value if isinstance(value, list) else value.values():
        if isinstance(each, (dict, list)):
            check_keys(each, depth - 1)

MUST = {*"action actor data id pii schema source specversion stage target tenant time type".split()}
MAY = {*"approval cause decision idempotency_key_sha256 request_id run step trace_id".split()}
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
STAGES = {"attempted", "completed", "failed", "denied", "unknown"}

def opened(entry, tree, schemas):
    """Return header and body of an entry of the closed form."""
    line, _, content = entry.partition(b"\n")
    header, body = parse(line), parse(content)
    need(header.keys() == {"idx", "prev", "seq_time"} and len(line) <= 1024, "its header is malformed")
    need(MUST <= body.keys() <= MUST | MAY and body["stage"] in STAGES and all(
        TIME.fullmatch(each) for each in (body["time"], header["seq_time"])) and re.fullmatch(
        "evt_[0-7][0-9A-HJKMNP-TV-Z]{25}", body["id"]) and isinstance(body["actor"]["id"], str),
        "it is not of the closed form")
    schema, current = body["schema"], schemas.get((body["action"], body["schema"]["version"]))
    need(schema["name"] == body["action"] and body["type"] == f"tenantplane.{body['action']}" and (
        schema["sha256"] == current or not current and (schema["sha256"], 0) in schemas),
        "no release wrote events of its schema")
    need(body["tenant"] == tree, "it belongs to another log")
    return header, body

# --- the controls: what people decided, against what was applied --------------------------------
def fingerprint(public):
    return "SHA256:" + base64.b64encode(sha256(public).digest()).decode().rstrip("=")

def sshsig_fault(data, at, keys):
    """Say what is wrong with an approver's signature (OpenSSH's PROTOCOL.sshsig), or nothing."""
    try:
        blob, statement = base64_of(data["signature"]), data["statement"].encode()
        public, *parts, signature = split(blob[10:], 4)
        (kind, key), (kind_too, signed) = split(public, 4), split(signature, 4)
        need(blob[:10] == b"SSHSIG\0\0\0\1" and kind == kind_too == b"ssh-ed25519" and parts == [
            b"approval@tenantplane", b"", b"sha512"], "its signature has another kind")
        message = b"SSHSIG" + b"".join(struct.pack(">I", len(each)) + each for each in (
            *parts, hashlib.sha512(statement).digest()))
        need(is_signed(key, message, signed), "its signature does not verify")
        since, until = keys.get(fingerprint(public), ("9", "9"))
        need(fingerprint(public) == data["approver_key"] and since <= at < until,
             "the key that signed it was not enrolled then")
        said = parse(statement)
        need(all(said[each] == data[each] for each in ("plan_digest", "verdict")),
             "its signed statement is another decision")
    except BROKEN as error:
        return reason(error)
    return ""

class Controls:
    def __init__(self, options, platform):
        self.names, self.population, self.exceptions = options.controls, Counter(), []
        self.runs, self.holds, self.loaded, self.keys = {}, {}, {}, {}
        with open(options.approvers or os.devnull, encoding="utf-8") as file:
            for words in filter(None, map(str.split, file)):  # name ssh-ed25519 key
                self.keys[fingerprint(base64_of(words[2]))] = ["", "9"]
        for data, action, at in ((each["data"], each["action"], each["time"]) for each in platform):
            if action == "rules.loaded":
                name = data["document"].removesuffix(".yaml")
                self.loaded.setdefault(name, []).append((at, data["digest"]))
            elif action in {"approver_key.enrolled", "approver_key.revoked"}:
                times = self.keys.setdefault(data["approver_key"], ["9", "9"])
                times[action == "approver_key.revoked"] = at
    def judge(self, name, is_kept, idx, why):
        if name in self.names:
            self.population[name] += 1
            self.exceptions += [] if is_kept else [{"control": name, "idx": idx, "why": why}]
    def see(self, idx, body):
        action, data, at, stage = body["action"], body["data"], body["time"], body["stage"]
        run = self.runs.setdefault(body.get("run"), {"events": [], "asked": set(), "yes": {}, "until":
            "9", "plan": None, "was": None, "needed": 0, "rule": False, "begun": None})
        run["events"] += [idx] if "run" in body else []
        who = {body["actor"]["id"], body["actor"].get("on_behalf_of")} - {None}
        if stage == "denied":
            return
        if action == "run.requested":
            run["asked"] |= who
        elif action == "run.approval_requested":
            run.update(needed=data["needed"], until=data["expires_at"], plan=None, was=None, yes={})
        elif action == "decision.given" and data.get("verdict") == "approve":
            run["yes"][body["approval"]["decision_id"]] = body["actor"]["id"], data["plan_digest"]
            self.judge("other_person", not who & run["asked"], idx, "who asked for the run approved it")
        elif action == "decision.withdrawn":
            run["yes"].pop(data["decision"], None)
        elif action == "run.approved":
            run.update(plan=data["plan_digest"], was=data["plan_digest"], rule="approval" not in body)
        elif action in {"approval.expired", "approval.canceled", "approval.superseded",
                        "run.approval_withdrawn"}:
            run["plan"] = None
        elif action in {"hold.placed", "hold.released"}:
            hold = next(each["id"] for each in body["target"] if each["type"] == "hold")
            self.holds.update({hold: idx}) if action == "hold.placed" else self.holds.pop(hold, 0)
        elif action == "run.apply" and stage == "attempted":
            self.apply(idx, data, run, at)
        elif action == "run.apply":
            self.judge("same_plan", run["begun"] == data["plan_digest"], idx, "another plan began")
        if action == "decision.given" and {"signature", "statement"} & data.keys():
            fault = sshsig_fault(data, at, self.keys)
            self.judge("signed", not fault, idx, fault)
        if "rules_digest" in data and self.loaded:
            names = ("mode_rules", "regions") if action.startswith("mode.") else ("approval_rules",)
            found = {name: max([each for each in self.loaded.get(name, []) if each[0] <= at],
                               default=("", ""))[1] for name in names}
            wanted = found["approval_rules"] if len(names) == 1 else (
                "sha256:" + sha256(encode(found).encode()).hexdigest())
            self.judge("rules", data["rules_digest"] == wanted, idx, "its rules were not in force")
    def apply(self, idx, data, run, at):
        plan, held = data["plan_digest"], ", ".join(map(str, sorted(self.holds.values())))
        people = {who for who, digest in run["yes"].values() if digest == plan}
        is_agreed = run["rule"] and not run["needed"] or len(people) >= max(run["needed"], 1)
        self.judge("approved", run["was"] and is_agreed, idx, "applied without its approvals")
        self.judge("same_plan", run["was"] in {plan, None}, idx, "another plan was approved")
        if not data.get("resumed"):
            is_valid = not run["was"] or run["plan"] and at[:19] <= run["until"][:19]
            self.judge("still_valid", is_valid, idx, "its approval had ended")
            self.judge("holds", not held, idx, f"applied while a hold stood: entry {held}")
        run["begun"] = plan
    def sample(self, seed, count):
        """Return runs with an effect, picked by the seed alone, with the entries of each."""
        order = sorted((sha256(f"{seed} {run}".encode()).hexdigest(), run)
                       for run, found in self.runs.items() if found["begun"])
        return [{"run": run, "entries": self.runs[run]["events"]} for _, run in order[:count]]

# --- the ten checks -----------------------------------------------------------------------------
class Verification:
    def __init__(self, options):
        self.options, self.found, self.counts, self.controls = options, [], Counter(), None
        self.facts = {"key": "unknown", "quorum": "none", "checkpoints": 0, "entries": 0, "pins": 0,
                      "opened": 0, "erased": 0, "from": "", "to": "", "controls": ""}
        self.prev, self.pii, self.erasures, self.leaves = {}, {}, set(), bytearray()
        self.seen, self.unseen, self.rooted = 0, "", {}  # of a quorum of witnesses; the root log
        self.soon = datetime.fromtimestamp(time.time() + 300, timezone.utc).isoformat()
    def find(self, verdict, why, idx=None, size=None):
        self.counts[verdict] += 1
        if self.counts[verdict] <= 10:
            self.found.append({"verdict": verdict, "why": why, "idx": idx, "size": size})
    @contextmanager
    def finding(self, verdict, what, idx=None):
        try:
            yield
        except BROKEN as error:
            self.find(verdict, f"{what}: {reason(error)}", idx)
    def run(self):
        with self.finding("BADFILE", "the dossier"):
            self.unpack()
            self.signatures()
            self.controls = Controls(self.options, self.platform())
            self.entries()
            self.disclosures()
            self.range()
        for each in self.controls.exceptions if self.controls else ():
            self.find("CONTROL", f"{each['control']}: {each['why']}", each["idx"])
    def read(self, name, limit=2**26):
        need(self.bytes[name] <= limit, f"{name} is too large")
        return self.zip.read(name)
    def json(self, name):
        return decode(self.read(name).decode())
    def unpack(self):
        """Refuse what no dossier holds, and files that are not those of the manifest."""
        self.zip = zipfile.ZipFile(self.options.file)
        found, self.bytes = self.zip.infolist(), {}
        for each in found:
            name, self.bytes[each.filename] = each.filename, each.file_size
            need(each.orig_filename == name and (name in FIXED or OTHER.fullmatch(name)) and not (
                each.flag_bits & 0x41) and each.compress_type in {0, 8}, f"no dossier has {name[:80]!r}")
        need(len(self.bytes) == len(found), "it holds two files of one name")
        need(sum(self.bytes.values()) < 2**26 + 400 * sum(each.compress_size for each in found),
             "it would unpack to far more than it is")
        self.manifest = found = self.json("MANIFEST.json")
        self.stated, files = found.pop("sha256"), found["files"]
        need(found["form"] == 1 and sha256(encode(found).encode()).hexdigest() == self.stated and FIXED
             <= self.bytes.keys() and files.keys() == self.bytes.keys() - {"MANIFEST.json"},
             "the manifest was changed, lists other files, or is of an unknown form")
        for name, each in files.items():
            digest = sha256()
            with self.zip.open(name) as file:
                while block := file.read(2**20):
                    digest.update(block)
            need(each == {"bytes": self.bytes[name], "sha256": digest.hexdigest()}, f"{name} was changed")
        self.origin, self.size, self.tree = found["origin"], found["size"], found["tree"]
        need(self.origin == f"{found['host']}/audit/{self.tree}", "the manifest contradicts itself")
        found = self.json("schemas.json")
        self.schemas = {(each, 0): each for each in found["retired"]} | {(each["name"], each["version"]):
            "sha256:" + sha256(encode(each).encode()).hexdigest() for each in found["documents"]}
    def signatures(self):
        """Checks 1 and 2: the heads and their keys, and the witnesses of the newest."""
        given, self.heads, self.pins = self.options.policy, {}, []
        with open(given or os.devnull, encoding="utf-8") as file:
            policy = Policy(file.read() if given else self.read("trust.policy").decode())
        trusted = {key[3] for key in policy.logs if key[2] == 1}
        rows = [(vkey(row["vkey"]), row) for row in self.json("keys.json")["keys"]]
        self.keys = [(key, row) for key, row in rows if key[3] in trusted and key[2] == 1]
        own = [(key, row) for key, row in self.keys if key[0] == self.origin]
        known = [*(key for key, _ in own), *(x for x in policy.named.values() if type(x) is tuple)]
        for name in sorted(each for each in self.bytes if each.startswith("log/checkpoint")):
            if self.size or self.bytes[name]:  # it is empty where nobody has signed the log yet
                with self.finding("BADSIG", name):
                    size, root, signed = open_note(self.read(name, 2**18), self.origin, known)
                    need(any(key in signed and row["from_size"] <= size < (row["to_size"] or 2**63)
                             for key, row in own), "no known key that was in force signed it")
                    need(size == (self.size if name == "log/checkpoint" else int(name[16:])),
                         f"it is of size {size}")
                    if policy.has_quorum(signed, policy.quorum):
                        self.seen = max(self.seen, size)
                    if self.heads.setdefault(size, root) != root:
                        self.find("FORKED", f"two signed heads of size {size} differ", size - 1, size)
        if "root.json" in self.bytes:
            with self.finding("BADSIG", "root.json"):
                self.root(policy)
        if self.size and not self.seen:
            self.find("UNWITNESSED", "too few witnesses saw a head of this log", size=self.size)
        if max(self.heads, default=0) > self.size:
            self.find("TAMPERED", f"entries from {self.size} were signed and are not here", self.size)
        for path in self.options.pin:
            with self.finding("BADSIG", "the checkpoint that you gave"), open(path, "rb") as file:
                size, root, signed = open_note(file.read(2**18), self.origin, known)
                need({key for key, _ in own} & signed, "no known key signed it")
                self.pins.append((size, root))
        quorum = policy.quorum + (f", which saw {self.seen} of {self.size} entries"
                                  if policy.quorum != "none" else "")
        self.facts |= {"checkpoints": len(self.heads), "quorum": quorum, "pins": len(self.pins),
                       "key": "unknown" if not self.heads else "pinned" if given else "seen first"}
    def root(self, policy):
        """Check what the log of logs has of this log, and whether the quorum saw that."""
        found, origin = self.json("root.json"), self.manifest["host"] + "/audit/root"
        own = [(key, row) for key, row in self.keys if key[0] == origin]
        witnesses = [x for x in policy.named.values() if type(x) is tuple]
        size, root, signed = open_note(found["checkpoint"].encode(), origin,
                                       [*(key for key, _ in own), *witnesses])
        need(any(key in signed and row["from_size"] <= size < (row["to_size"] or 2**63)
                 for key, row in own), "no known key that was in force signed it")
        entry = found["entry"].encode()
        need(size == found["size"] and is_included(found["idx"], size, leaf_of(entry), [
            base64_of(x) for x in found["proof"]], root), "it does not prove its entry")
        head = parse(entry.partition(b"\n")[2])
        need(head.keys() == {"prev", "root", "size", "tree"} and head["tree"] == self.tree
             and head["size"] > 0, "its entry is not a head of this log")
        self.rooted = {head["size"]: base64_of(head["root"])}
        if policy.has_quorum(signed, policy.quorum):
            self.seen = max(self.seen, head["size"])
    def platform(self):
        """Return the events of the platform's log that the controls need, each proved."""
        if not {"platform.ndjson", "platform/checkpoint"} <= self.bytes.keys():
            if self.tree != "platform":
                self.find("GAP", "the entries of the platform's log are missing")
            return []
        head = open_note(self.read("platform/checkpoint", 2**18),
            self.manifest["host"] + "/audit/platform", [key for key, _ in self.keys])
        need(head[2], "no known key signed the platform's checkpoint")
        lines = [proved(line, *head[:2]) for line in self.read("platform.ndjson").splitlines()]
        return [opened(entry, "platform", self.schemas)[1] for _, entry in sorted(lines)]
    def entries(self):
        """Checks 3 to 7 and 9: every entry, every tile and every head over them."""
        stack, roots, level, names = [], {}, [], set()
        wanted = {*self.heads, *self.rooted, *(size for size, _ in self.pins)}
        for start in range(0, self.size, 256):
            wide = min(256, self.size - start)
            width = next((x for x in range(wide, 0, -1) if tile("entries", start // 256, x) in self.bytes
                          and tile(0, start // 256, x) in self.bytes), 0)
            if width != wide:
                self.find("GAP", f"entries from {start + width} are missing", start + width)
            if width == 0:
                break
            name, hashes = tile("entries", start // 256, width), tile(0, start // 256, width)
            names |= {name, hashes}
            entries, stated = split(self.read(name), 2), self.read(hashes)
            leaves = [sha256(b"\0" + each).digest() for each in entries]
            at = next((n for n, each in enumerate(leaves) if stated[32 * n:32 * n + 32] != each),
                      len(leaves))
            if len(entries) != width:
                self.find("GAP", f"entries from {start + at} are missing, or too many", start + at)
                break
            if b"".join(leaves) != stated:
                self.find("TAMPERED", f"entry {start + at} does not have the hash it was logged with",
                          start + at)
            level += [subtree_of(leaves)] if width == 256 else []
            is_one, size = width == 256 and not any(start < x < start + 256 for x in wanted), start
            for item in level[-1:] if is_one else leaves:
                push(stack, item, 256 if is_one else 1)
                size += 256 if is_one else 1
                roots[size] = root_of(stack) if size in wanted else b""
            self.leaves += b"".join(leaves)
            for idx, entry in enumerate(entries if self.options.controls else (), start):
                with self.finding("MALFORMED", f"entry {idx}", idx):
                    self.entry(idx, entry)
        for number in range(1, 8):
            parts = [level[at:at + 256] for at in range(0, len(level), 256)]
            for at, part in enumerate(parts):
                names.add(name := tile(number, at, len(part)))
                if name not in self.bytes or self.read(name) != b"".join(part):
                    self.find("TAMPERED", f"{name} does not fit the entries", at * 256**(number + 1))
            level = [subtree_of(part) for part in parts if len(part) == 256]
        if {x for x in self.bytes if x.startswith("log/tile/")} - names or not self.heads or (
                "log/unsigned" in self.bytes):
            self.find("UNSIGNED", f"entries from {self.size} are under no checkpoint, for longer than "
                      "they may wait", self.size)
        self.facts["entries"] = len(self.leaves) // 32
        good = sorted(size for size, root in self.heads.items() if roots.get(size) == root)
        for size in sorted(self.heads.keys() - {*good}):
            start = max((each for each in good if each < size), default=0)
            verdict, what = ("FORKED", f"the signed checkpoint of size {size} contradicts that of size "
                f"{good[-1]}") if good and good[-1] > size else (
                "TAMPERED", f"entries from {start} to {size - 1} are not the signed ones")
            self.find(verdict, what, start, size)
        for size, root in self.rooted.items():
            if roots.get(size) != root:
                self.find("FORKED", f"the log of logs has another head of size {size}", size=size)
        for size, root in self.pins:
            if roots.get(size) != root:
                self.find("REWRITTEN", f"before size {size}: the log does not extend the checkpoint "
                          "that you gave", size=size)
        for line in self.zip.open("entries.ndjson") if self.options.controls else ():
            idx, entry = proved(line, self.size, self.heads.get(self.size, b""))
            need(self.leaves[32 * idx:32 * idx + 32] == leaf_of(entry), "entries.ndjson belongs to another log")
    def entry(self, idx, entry):
        header, body = opened(entry, self.tree, self.schemas)
        names = {"actor": body["actor"]["id"], "run": body.get("run"),
                 "approver": body.get("approval", {}).get("approver")}
        keys = [each for each in names.items() if each[1] and "\0" not in each[1]]
        prev = {key[0]: self.prev[key] for key in keys if key in self.prev}
        self.prev.update(dict.fromkeys(keys, idx))
        need(header["idx"] == idx and header["prev"] == prev, "its header points to other entries")
        at, said = header["seq_time"], body["time"]
        if at < self.facts["to"] or at > self.soon or said[:15] > at[:15] and (
                datetime.fromisoformat(said) - datetime.fromisoformat(at)).total_seconds() > 300:
            self.find("MISDATED", f"entry {idx} goes back in time, or is dated in the future", idx)
        self.facts |= {"from": self.facts["from"] or at, "to": max(at, self.facts["to"])}
        self.unseen = at if idx == self.seen else self.unseen
        self.pii |= {(body["id"], path): (idx, value) for path, value in body["pii"].items()}
        self.erasures |= {body["id"]} if body["action"] == "erasure.done" else set()
        with self.finding("CONTROL", f"entry {idx} lacks what a control needs", idx):
            self.controls.see(idx, body)
    def disclosures(self):
        """Check 8: values that were disclosed open their commitments; erased ones name why."""
        for each in self.json("disclosures.json")["values"]:
            idx, stated = self.pii.get((each["event_id"], each["path"]), (None, None))
            if each["erased_at"] is not None:
                self.facts["erased"] += 1
                is_good = each["erasure_event"] in self.erasures and idx == each["idx"]
            else:
                self.facts["opened"] += 1
                clear = b"tenantplane/field/v1\0" + bytes.fromhex(each["salt"]) + each["value"].encode()
                is_good = stated == "sha256:" + sha256(clear).hexdigest() and idx == each["idx"]
            if not is_good:
                self.find("BADDISCLOSURE", f"a value of entry {each['idx']} is not the one that was "
                          "committed to, or was erased without an event", each["idx"])
    def range(self):
        """Check 10: what was asked for, against what is here; and how long witnesses missed it."""
        if self.seen and self.unseen and (datetime.fromisoformat(self.facts["to"])
                - datetime.fromisoformat(self.unseen)).total_seconds() > 3600:
            self.find("UNWITNESSED", f"entries from {self.seen} were seen by too few witnesses, an "
                      "hour after they were logged", self.seen)
        asked = self.manifest["range"]["asked"]
        until = max(filter(None, (self.options.until, asked["to"])), default="")
        if until and until[:19] > self.facts["to"][:19] and self.options.controls:
            self.find("PARTIAL", f"asked for until {until}, and the log ends at {self.facts['to']}")
        if self.options.controls and self.manifest["range"]["found"] != {
                each: self.facts[each] for each in ("from", "to")}:
            self.find("PARTIAL", "the manifest states another range than the log has")
    def report(self):
        """Return everything as plain JSON."""
        found = {each["verdict"] for each in self.found}
        self.facts["controls"] = ", ".join(f"{name} {count}" for name, count in sorted(
            self.controls.population.items())) if self.controls else ""
        at = [(each["idx"], each["size"] or 0) for each in self.found if each["idx"] is not None]
        first, end = min(at, default=(None, 0))  # of a span, the first entry that is known to be bad
        first = min((idx for idx, size in at if first <= idx < end and not size), default=first)
        return {
            "verdict": min(found, key=[*EXITS].index, default="OK"), "first_bad_index":
            first, "exit_code": min((EXITS[each] for each in found), default=0),
            "manifest_sha256": getattr(self, "stated", None), "facts": self.facts, "checks": [
                {"check": number, "ok": not found & {*verdicts.split(), "BADFILE"},
                 "says": sentence.format_map(self.facts)} for number, sentence, verdicts in CHECKS],
            "findings": self.found, "counts": self.counts, "sample": self.controls.sample(
                self.options.seed, self.options.sample) if self.controls else []}

def proved(line, size, root):
    """Return index and entry of a line that can be proved alone, under the given head."""
    one = decode(line.decode())
    entry = one["entry"].encode() if "entry" in one else base64_of(one["entry_base64"])
    need(one["size"] == size and base64_of(one["root"]) == root and one["leaf"] == leaf_of(entry).hex()
         and is_included(one["idx"], size, leaf_of(entry), [base64_of(x) for x in one["proof"]], root),
         "a line of NDJSON does not prove its entry")
    return one["idx"], entry

def main(arguments=None):
    parser = argparse.ArgumentParser(description="Verify a dossier of an audit log, offline.")
    parser.add_argument("file", help="the dossier")
    parser.add_argument("--policy", help="trust policy of your own: keys of the log, witnesses")
    parser.add_argument("--pin", action="append", default=[], help="a checkpoint that you kept")
    parser.add_argument("--approvers", help="keys of approvers: lines of `name ssh-ed25519 key`")
    parser.add_argument("--controls", default=",".join(CONTROLS), help="names, or `none`: hashes alone")
    parser.add_argument("--from", dest="since", help="accepted: a dossier has its log from the start")
    parser.add_argument("--to", dest="until", help="RFC 3339 time until which you asked for it")
    parser.add_argument("--sample", type=int, default=0, help="pick that many runs, with evidence")
    parser.add_argument("--seed", default="", help="of the sample: the same picks the same")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    options = parser.parse_args(arguments)
    options.controls = {*options.controls.split(",")} - {"none"}
    if options.controls - {*CONTROLS}:
        parser.error("--controls takes " + ", ".join(CONTROLS))
    verification = Verification(options)
    verification.run()
    report = verification.report()
    sys.stdout.reconfigure(errors="backslashreplace")
    if options.json:
        print(json.dumps(report, indent=2))
        return report["exit_code"]
    for each in report["checks"]:
        print("ok  " if each["ok"] else "FAIL", f"{each['check']:2}", each["says"] if each["ok"] else "")
    for each in report["findings"]:
        print(f"{each['verdict']}: {each['why']}")
    for each in report["sample"]:
        print("sample", each["run"], "entries", *each["entries"])
    print(f"Verdict: {report['verdict']}")
    return report["exit_code"]

if __name__ == "__main__":
    sys.exit(main())
