// settingsOf(): what ~/.ssh/config says of a host.

import { expect, test } from "vitest";
import { settingsOf } from "./unread-settings.ts";

const CONFIG = `
# ProxyJump commented
Host backup *.example !old.example
  ProxyJump = cairn@bastion:2222
  certificatefile "~/.ssh/id-cert.pub"
  ServerAliveInterval 5
Host "quoted"
\tProxyCommand ssh -W %h:%p secret@bastion
\tProxyJump none
Host 10.0.?.1
  User root
Match host *
  User matched
Host *
  ProxyJump later
  User everybody
`;

test.each([
  ["backup", ["ProxyJump cairn@bastion:2222 (", 'CertificateFile "~/.ssh/id-cert.pub" (', "User everybody ("]],
  ["new.example", ["ProxyJump cairn@bastion:2222 (", "CertificateFile", "User everybody"]],
  ["old.example", ["ProxyJump later (", "User everybody"]],
  ["quoted", ["ProxyCommand (not supported", "User everybody"]],
  ["10.0.7.1", ["User root (", "ProxyJump later"]],
  ["10.0.77.1", ["ProxyJump later", "User everybody"]],
])("settingsOf() gives what stands there for %s", (host, expected) => {
  const found = settingsOf(CONFIG, host);
  expect(found).toHaveLength(expected.length);
  for (const [index, words] of expected.entries()) expect(found[index]).toContain(words);
  expect(found.join()).not.toContain("secret");
});

test("settingsOf() says nothing of what is no such file", () => {
  expect(settingsOf("", "host")).toEqual([]);
  expect(settingsOf("\0\u{1F642} Host", "host")).toEqual([]);
  expect(settingsOf("Host other\nProxyJump x\n", "host")).toEqual([]);
  expect(settingsOf("constructor x\ntoString x\n", "host")).toEqual([]);
  expect(settingsOf(`User ${" ".repeat(1_000_000)}x`, "host")).toEqual([]);
});
