// Lines of known_hosts files, by the manual page. That ssh-keygen's own files are read is tested on a real server.

import { createHmac, randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { findKnownHost, fingerprintOf, judgeHostKey, keyTypeOf, knownHostLine } from "./known-hosts.ts";

/** Bytes that say that they are a key of that type. */
function keyOf(type: string, content = type): Buffer {
  const parts = [type, content].flatMap((text) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(text.length);
    return [length, Buffer.from(text)];
  });
  return Buffer.concat(parts);
}

const ed25519 = keyOf("ssh-ed25519");
const rsa = keyOf("ssh-rsa");
const other = keyOf("ssh-ed25519", "other");
const lineOf = (names: string, key = ed25519, marker = ""): string =>
  `${marker}${names} ${keyTypeOf(key)} ${key.toString("base64")} comment`;
const judge = (text: string, host = "host.example", port = 22, key = ed25519): string =>
  judgeHostKey(findKnownHost([text], host, port), key);

function hashedName(name: string): string {
  const salt = randomBytes(20);
  return `|1|${salt.toString("base64")}|${createHmac("sha1", salt).update(name).digest("base64")}`;
}

describe("judgeHostKey()", () => {
  test.each([
    ["a name", "host.example", "known"],
    ["one of several names", "a,host.example,10.0.0.1", "known"],
    ["upper case", "HOST.Example", "known"],
    ["a pattern", "*.example", "known"],
    ["a pattern with a question mark", "h?st.exampl?", "known"],
    ["stars that have to be tried again", "*e*mpl*e", "known"],
    ["a pattern with an exception", "*.example,!host.example", "unknown"],
    ["an exception alone", "!other", "unknown"],
    ["another name", "host.example.org", "unknown"],
    ["a beginning", "host", "unknown"],
    ["a port that is not asked for", "[host.example]:2222", "unknown"],
    ["a hashed name", hashedName("host.example"), "known"],
    ["another hashed name", hashedName("host.example2"), "unknown"],
    ["a hash that is none", "|1|x", "unknown"],
    ["a hash of another kind", "|2|AAAA|AAAA", "unknown"],
  ])("%s (%s): %s", (_, names, verdict) => expect(judge(lineOf(names))).toBe(verdict));

  test("finds a host at another port by [host]:port, hashed too, and takes its key of the usual port", () => {
    for (const names of ["[host.example]:2222", hashedName("[host.example]:2222"), "host.example"]) {
      expect(judge(lineOf(names), "host.example", 2222), names).toBe("known");
    }
    // But that one says nothing against another key at this port.
    expect(judge(lineOf("host.example", other), "host.example", 2222)).toBe("unknown");
    expect(judge(`${lineOf("host.example")}\n${lineOf("[host.example]:2222", other)}`, "host.example", 2222)).toBe(
      "changed",
    );
  });

  test("another key is a changed one, of whatever type, unless one of several is right", () => {
    expect(judge(lineOf("host.example", other))).toBe("changed");
    expect(judge(lineOf("host.example", rsa))).toBe("changed");
    expect(
      judge([lineOf("host.example", rsa), lineOf("host.example", other), lineOf("host.example")].join("\r\n")),
    ).toBe("known");
  });

  test("a revoked key is revoked, wherever else it stands", () => {
    const known = lineOf("host.example");
    for (const names of ["*", "host.example", hashedName("host.example")]) {
      expect(judge(`${known}\n${lineOf(names, ed25519, "@revoked ")}\n`), names).toBe("revoked");
    }
    expect(judge(`${known}\n${lineOf("elsewhere", ed25519, "@revoked ")}`)).toBe("known");
    expect(judge(`${known}\n${lineOf("*", other, "@revoked\t")}`)).toBe("known");
  });

  test("an authority is no key of the host, and is named", () => {
    const known = findKnownHost([lineOf("*.example", ed25519, "@cert-authority ")], "host.example", 22);
    expect([judgeHostKey(known, ed25519), known.hasAuthority]).toEqual(["unknown", true]);
  });

  test.each(["@Revoked", "@REVOKED", "@revoked,", "@revoke", "@cert-authority,", "@", "@revoked @revoked", "@x"])(
    "a line marked %j is passed over, and makes no key known",
    (marker) => {
      const found = findKnownHost([lineOf("host.example", ed25519, `${marker} `)], "host.example", 22);
      expect(found).toEqual({ keys: [], revoked: [], keysOfUsualPort: [], hasAuthority: false });
    },
  );

  test.each([
    "# host.example ssh-ed25519 AAAA",
    "host.example",
    "host.example ssh-ed25519",
    "host.example ssh-rsa !!!",
    "",
    "@revoked",
  ])("passes over %j", (line) => expect(judge(`${line}\n${lineOf("host.example")}`)).toBe("known"));

  test("passes over a line whose key is of another type than it says, and one without end", () => {
    expect(judge(`host.example ssh-rsa ${ed25519.toString("base64")}`)).toBe("unknown");
    expect(judge(`${"host.example,".repeat(100_000)} ssh-ed25519 AAAA`)).toBe("unknown");
  });

  test("patterns that are made to take long do not", () => {
    const startedAtMs = performance.now();
    judge(lineOf(`${"*a".repeat(2000)}b`), "a".repeat(250));
    expect(performance.now() - startedAtMs).toBeLessThan(1000);
  });
});

test("keyTypeOf() of what is no key is empty", () => {
  for (const key of [
    Buffer.alloc(0),
    Buffer.alloc(3),
    Buffer.from([255, 255, 255, 255, 1]),
    Buffer.from([0, 0, 0, 2, 27, 91]),
  ]) {
    expect(keyTypeOf(key)).toBe("");
  }
});

test("knownHostLine() is found again", () => {
  for (const port of [22, 2222])
    expect(judge(knownHostLine("host.example", port, rsa), "host.example", port, rsa)).toBe("known");
  expect(fingerprintOf(rsa)).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
});
