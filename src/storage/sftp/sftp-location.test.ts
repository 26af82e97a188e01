import { describe, expect, test } from "vitest";
import { isOperatingError } from "../../base/errors.ts";
import { parseSftpLocation } from "./sftp-location.ts";

const SECRET = "wJalrXUtnFEMI";
const HOME = { HOME: "/users/me", USER: "me" };

describe("parseSftpLocation()", () => {
  test("of a bare URI: this user, the usual port and files", () => {
    expect(parseSftpLocation("sftp://Backup.Example/srv/shop/", HOME)).toEqual({
      user: "me",
      host: "backup.example",
      port: 22,
      jumpHosts: [],
      root: "/srv/shop",
      identityFile: null,
      knownHostsFile: "/users/me/.ssh/known_hosts",
      knownHostsFiles: ["/users/me/.ssh/known_hosts", "/etc/ssh/ssh_known_hosts"],
      keysFolder: "/users/me/.ssh",
      description: "sftp://me@backup.example/srv/shop",
    });
  });

  test("reads every setting, and knows a path below the home", () => {
    const uri = "sftp://other%20one@[2001:db8::1]:2222/~/a%20b/c?identity=~/keys/k&known-hosts=/etc/known";
    expect(parseSftpLocation(uri, HOME)).toMatchObject({
      user: "other one",
      host: "2001:db8::1",
      port: 2222,
      root: "a b/c",
      identityFile: "/users/me/keys/k",
      knownHostsFile: "/etc/known",
      knownHostsFiles: ["/etc/known"],
      description: "sftp://other one@[2001:db8::1]:2222/~/a b/c",
    });
  });

  test("reads hosts on the way, first one first; without a user it is this machine's", () => {
    const uri = "sftp://cairn@host/x?jump=Bastion.Example,other@[2001:db8::1]:2222,at@h2:22";
    expect(parseSftpLocation(uri, HOME).jumpHosts).toEqual([
      { user: "me", host: "bastion.example", port: 22 },
      { user: "other", host: "2001:db8::1", port: 2222 },
      { user: "at", host: "h2", port: 22 },
    ]);
  });

  test.each([
    [`sftp://host/x?jump=me:${SECRET}@bastion`, "not of the form USER@HOST:PORT"],
    ["sftp://host/x?jump=a,,b", "not of the form"],
    ["sftp://host/x?jump=a:0", "not of the form"],
    ["sftp://host/x?jump=a:99999", "not of the form"],
    ["sftp://host/x?jump=a/b", "not of the form"],
    ["sftp://host/x?jump=a,b,c,d,e", "more than 4 hosts"],
    [`sftp://me:${SECRET}@host/x`, "holds credentials"],
    [`sftp://:${SECRET}@host/x`, "holds credentials"],
    [`sftp://host/x?password=${SECRET}`, '"password" in the URI of sftp://host is not known'],
    ["sftp://host/", "names no folder"],
    ["sftp://host/~", "names no folder"],
    ["sftp:///x", "names no host"],
    ["sftp://ho%00st/x", "sftp://"],
    ["sftp://ho%20st/x", "no name and no address"],
    ["sftp://a%0ab@host/x", "its user is no name"],
    ["sftp://host/a/../b%2f..%2fc", "path"],
    ["sftp://host/a%00b", "path"],
    [`sftp://host/${"x".repeat(1100)}`, "longer than"],
    ["sftp://host:99999/x", "no URI of the form"],
    ["sftp:host/x", "no URI of the form"],
    ["sftp://host/x#y", 'after "#"'],
    ["sftp://host/x?identity=", "is empty"],
  ])("refuses %s", (uri, words) => {
    let error: unknown = null;
    try {
      parseSftpLocation(uri, HOME);
    } catch (failure) {
      error = failure;
    }
    if (!isOperatingError(error, "usage")) throw new Error(`it was taken, or failed otherwise: ${String(error)}`);
    const text = `${error.message} ${error.detail ?? ""} ${error.hint ?? ""}`;
    expect(text).toContain(words);
    expect(text).not.toContain(SECRET);
  });
});
