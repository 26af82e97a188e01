import fc from "fast-check";
import { expect, test } from "vitest";
import { parseConnectionString } from "./connection-string.ts";

const parsed = (text: string): Record<string, string> => Object.fromEntries(parseConnectionString(text));

// The cases of PostgreSQL's own test of URIs (src/interfaces/libpq/t/001_uri.pl), by meaning.
test.each<[string, Record<string, string>]>([
  [
    "postgresql://uri-user:secret@host:12345/db",
    { user: "uri-user", password: "secret", host: "host", port: "12345", dbname: "db" },
  ],
  ["postgresql://uri-user@host:12345/db", { user: "uri-user", host: "host", port: "12345", dbname: "db" }],
  ["postgresql://uri-user@host/db", { user: "uri-user", host: "host", dbname: "db" }],
  ["postgresql://host:12345/db", { host: "host", port: "12345", dbname: "db" }],
  ["postgresql://host/db", { host: "host", dbname: "db" }],
  ["postgresql://uri-user@host:12345/", { user: "uri-user", host: "host", port: "12345" }],
  ["postgresql://uri-user@", { user: "uri-user" }],
  ["postgresql://host", { host: "host" }],
  ["postgresql://", {}],
  ["postgresql:///", {}],
  ["postgresql:///db", { dbname: "db" }],
  ["postgresql://?hostaddr=127.0.0.1", { hostaddr: "127.0.0.1" }],
  ["postgresql://example.com?hostaddr=63.1.2.4", { host: "example.com", hostaddr: "63.1.2.4" }],
  ["postgresql://%68ost/", { host: "host" }],
  ["postgresql://host/db?user=uri-user", { host: "host", dbname: "db", user: "uri-user" }],
  [
    "postgresql://host/db?u%73er=someotheruser&port=12345",
    { host: "host", dbname: "db", user: "someotheruser", port: "12345" },
  ],
  ["postgresql://host:12345?user=uri-user", { host: "host", port: "12345", user: "uri-user" }],
  ["postgresql://host?", { host: "host" }],
  ["postgresql://[::1]:12345/db", { host: "::1", port: "12345", dbname: "db" }],
  ["postgresql://[2001:db8::1234]/", { host: "2001:db8::1234" }],
  ["postgresql://[200z:db8::1234]/", { host: "200z:db8::1234" }],
  ["postgresql://:secret@localhost", { password: "secret", host: "localhost" }],
  ["postgresql://user:p:q@localhost", { user: "user", password: "p:q", host: "localhost" }],
  ["postgresql://user:%40%2F%C3%A9@localhost", { user: "user", password: "@/é", host: "localhost" }],
  ["postgresql://%2Fvar%2Flib%2Fpostgresql/dbname", { host: "/var/lib/postgresql", dbname: "dbname" }],
  ["postgres://host1:1,host2:2/db", { host: "host1,host2", port: "1,2", dbname: "db" }],
  ["postgres://localhost/a+b", { host: "localhost", dbname: "a+b" }],
  ["postgresql://host/db?ssl=true", { host: "host", dbname: "db", sslmode: "require" }],
])("parseConnectionString() reads the URI %s", (text, expected) => {
  expect(parsed(text)).toEqual(expected);
});

test.each<[string, RegExp]>([
  ["postgresql://%", /percent-encoding in its host/],
  ["postgresql://%1", /percent-encoding/],
  ["postgresql://a%1g", /percent-encoding/],
  ["postgresql://host/db?user=%00x", /%00/],
  ["postgresql://host?zzz=1", /invalid URI query parameter "zzz"/],
  ["postgresql://host?value1&value2", /without "="/],
  ["postgresql://host?key=key=value", /more than one "="/],
  ["postgresql://[::1", /lacks the "\]"/],
  ["postgresql://[]", /empty IPv6/],
  ["postgresql://[::1]z", /after a host address/],
  ["postgresql://[::1]?uzer=x", /invalid URI query parameter "uzer"/],
])("parseConnectionString() rejects the URI %s", (text, message) => {
  expect(() => parseConnectionString(text)).toThrow(message);
});

test.each<[string, Record<string, string>]>([
  ["host=localhost port=5432", { host: "localhost", port: "5432" }],
  ["  host = localhost\tdbname='a b' ", { host: "localhost", dbname: "a b" }],
  ["password='it\\'s \\\\ x' user=u", { password: "it's \\ x", user: "u" }],
  ["dbname=a\\ b user=''", { dbname: "a b", user: "" }],
  ["password=a=b", { password: "a=b" }],
  ["dbname=x dbname=y", { dbname: "y" }],
  ["mydb", { dbname: "mydb" }],
  ["my db", { dbname: "my db" }],
  ["", {}],
])("parseConnectionString() reads the pairs %j", (text, expected) => {
  expect(parsed(text)).toEqual(expected);
});

test.each<[string, RegExp]>([
  ["hots=localhost", /invalid connection parameter "hots"/],
  ["host=localhost word", /lacks a "=" after the word at position 16/],
  ["password='secret", /unterminated quoted string for "password"/],
  ["=x", /invalid connection parameter ""/],
])("parseConnectionString() rejects the pairs %j", (text, message) => {
  expect(() => parseConnectionString(text)).toThrow(message);
});

test("parseConnectionString() never repeats a password in an error", () => {
  for (const text of [
    "password=hun ter2",
    "postgres://u:hunter2%zz@h/d",
    "host=h password='hunter2",
    "postgres://u:hunter2@h?x",
  ]) {
    let message = "";
    try {
      parseConnectionString(text);
    } catch (error) {
      message = `${(error as Error).message} ${String((error as { hint?: string }).hint)}`;
    }
    expect(message).not.toBe("");
    expect(message).not.toMatch(/hunter2|ter2/);
  }
});

test("parseConnectionString() reads back what was percent-encoded or quoted", () => {
  const text = fc
    .string({ minLength: 1, unit: "grapheme" })
    .filter((value) => !value.includes("\0") && value.isWellFormed());
  fc.assert(
    fc.property(text, text, (user, password) => {
      const uri = `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@h/d`;
      expect(parsed(uri)).toEqual({ user, password, host: "h", dbname: "d" });
      const quote = (value: string): string => `'${value.replaceAll(/[\\']/g, "\\$&")}'`;
      expect(parsed(`user=${quote(user)} password=${quote(password)}`)).toEqual({ user, password });
    }),
  );
});
