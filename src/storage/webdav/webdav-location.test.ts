import { expect, test } from "vitest";
import { encodedPath, parseWebdavLocation } from "./webdav-location.ts";

const SECRET = "wJalrXUtnFEMI";

test.each([
  ["webdav://cloud.example", { isTls: true, port: 443, origin: "https://cloud.example", path: "/", isOwncloud: false }],
  [
    "webdav://Cloud.Example:8443/remote.php/dav/files/kim%20b/back%C3%BCp/",
    {
      host: "cloud.example",
      origin: "https://cloud.example:8443",
      path: "/remote.php/dav/files/kim b/backüp/",
      isOwncloud: true,
    },
  ],
  [
    "webdav://[::1]:8080/x?tls=off",
    { isTls: false, host: "::1", port: 8080, origin: "http://[::1]:8080", path: "/x/" },
  ],
])("parseWebdavLocation() %s", (uri, expected) => expect(parseWebdavLocation(uri)).toMatchObject(expected));

test.each([
  ["webdav:host/x", "webdav://HOST"],
  ["webdav:///x", "names no host"],
  ["webdav://a$b/x", "names no host"],
  [`webdav://kim:${SECRET}@host/x`, "holds credentials"],
  [`webdav://${SECRET}@host/x`, "holds credentials"],
  [`webdav://host/x?password=${SECRET}`, '"password" in the URI'],
  ["webdav://host/x?tls=no", "not one of on, off"],
  ["webdav://host/a/%2e%2e%2fb", "not allowed"],
  ["webdav://host/a%0db", "not allowed"],
  [`webdav://host/${"x".repeat(1001)}`, "longer than"],
])("parseWebdavLocation() refuses %s", (uri, words) => {
  let error: unknown;
  try {
    parseWebdavLocation(uri);
  } catch (failure) {
    error = failure;
  }
  expect(error).toMatchObject({ code: "usage" });
  const { detail = "", hint = "", message } = error as { message: string; detail?: string; hint?: string };
  expect(`${message} ${detail} ${hint}`).toContain(words);
  expect(`${message} ${detail} ${hint}`).not.toContain(SECRET);
});

test("encodedPath() encodes what is not plain, and keeps the slashes", () => {
  expect(encodedPath("/a b/ü?#%/c")).toBe("/a%20b/%C3%BC%3F%23%25/c");
});
