import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { Authorization } from "./authorization.ts";

/** The example of RFC 7616, 3.9.1. */
const LOGIN = { user: "Mufasa", password: "Circle of Life" };
const REALM = "http-auth@example.org";
const NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
const OPAQUE = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS";
const PATH = "/dir/index.html";
const challenge = (algorithm: string): string =>
  `Digest realm="${REALM}", qop="auth, auth-int", algorithm=${algorithm}, nonce="${NONCE}", opaque="${OPAQUE}"`;

function fieldsOf(header: string | undefined): Map<string, string> {
  const fields = (header ?? "").matchAll(/(\w+)=(?:"([^"]*)"|([^ ,]+))/g);
  return new Map(Array.from(fields, ([, name = "", quoted, plain]) => [name, quoted ?? plain ?? ""]));
}

test.each([
  ["MD5", "md5"],
  ["SHA-256", "sha256"],
])("Authorization answers a %s challenge as RFC 7616 says", (algorithm, hash) => {
  const authorization = new Authorization(LOGIN, false);
  expect(authorization.headerFor("GET", PATH)).toBe(undefined);
  expect(authorization.isChallengedBy(challenge(algorithm), undefined)).toBe(true);
  for (const count of ["00000001", "00000002"]) {
    const header = authorization.headerFor("GET", PATH);
    const fields = fieldsOf(header);
    expect(header).toMatch(/^Digest username="Mufasa", /);
    expect(fields.get("nc")).toBe(count);
    expect(fields.get("opaque")).toBe(OPAQUE);
    expect(fields.get("uri")).toBe(PATH);
    const of = (text: string): string => createHash(hash).update(text).digest("hex");
    const secret = of(`Mufasa:${REALM}:Circle of Life`);
    const expected = of(`${secret}:${NONCE}:${count}:${fields.get("cnonce")}:auth:${of(`GET:${PATH}`)}`);
    expect(fields.get("response")).toBe(expected);
  }
});

test("Authorization takes the strongest challenge that it knows, and Basic only where there is no Digest", () => {
  const both = new Authorization(LOGIN, false);
  expect(both.isChallengedBy(`Basic realm="x", ${challenge("MD5")}, ${challenge("SHA-256")}`, undefined)).toBe(true);
  expect(both.headerFor("GET", PATH)).toContain("algorithm=SHA-256");
  const basic = new Authorization(LOGIN, false);
  expect(basic.isChallengedBy(`${challenge("SHA-512-256")}, Basic realm="x"`, undefined)).toBe(true);
  expect(basic.headerFor("GET", PATH)).toBe(`Basic ${Buffer.from("Mufasa:Circle of Life").toString("base64")}`);
  const none = new Authorization(LOGIN, false);
  expect(none.isChallengedBy('Negotiate, NTLM, Bearer realm="Basic"', undefined)).toBe(false);
});

test("Authorization answers a second refusal only when the nonce was too old", () => {
  const authorization = new Authorization(LOGIN, false);
  authorization.isChallengedBy(challenge("MD5"), undefined);
  const sent = authorization.headerFor("GET", PATH);
  expect(authorization.isChallengedBy(challenge("MD5"), sent)).toBe(false);
  const fresh = challenge("MD5").replace(NONCE, "another");
  expect(authorization.isChallengedBy(fresh, sent)).toBe(false);
  expect(authorization.isChallengedBy(`${fresh}, stale=TRUE`, sent)).toBe(true);
  const fieldsNow = (): Map<string, string> => fieldsOf(authorization.headerFor("GET", PATH));
  expect(fieldsNow().get("nc")).toBe("00000001");
  // Of many requests at once, each is told of the new nonce, and some when others have used it.
  expect(authorization.isChallengedBy(`${fresh}, stale=TRUE`, sent)).toBe(true);
  expect(fieldsNow().get("nc")).toBe("00000002");
  const basic = new Authorization(LOGIN, true);
  expect(basic.isChallengedBy('Basic realm="x"', basic.headerFor("GET", PATH))).toBe(false);
});
