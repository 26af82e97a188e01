import { describe, expect, test } from "vitest";
import { openStorage } from "./open-storage.ts";
import { parseS3Location } from "./s3/s3-location.ts";
import { parseLocation, schemeOf } from "./storage-location.ts";

const SECRET = "wJalrXUtnFEMI";

describe("schemeOf()", () => {
  test.each([
    ["/backups", ""],
    ["backups", ""],
    ["./a:b", ""],
    ["../s3:x", ""],
    ["C:\\backups", ""],
    ["file:///backups", "file"],
    ["S3://bucket", "s3"],
    ["sftp://host/path", "sftp"],
  ])("%s: %j", (location, scheme) => expect(schemeOf(location)).toBe(scheme));

  test.each(["", "x\0y", "x".repeat(5000)])("refuses what is no location", (location) => {
    expect(() => schemeOf(location)).toThrow(expect.objectContaining({ code: "usage" }));
  });
});

describe("openStorage()", () => {
  test.each([
    ["ftp://host/x", 'there is no storage for "ftp:"'],
    ["backup:2026", 'A folder of that name is "./backup:…"'],
    ["s3:bucket", "s3://BUCKET"],
    ["file://elsewhere/x", "file:///path"],
    [`s3://key:${SECRET}@bucket/x`, "holds credentials"],
    [`s3://${SECRET}@bucket/x`, "holds credentials"],
    [`s3://bucket/x?secret-access-key=${SECRET}`, '"secret-access-key" in the URI of s3://bucket is not known'],
    [`s3://bucket/x?endpoint=https://k:${SECRET}@host`, "endpoint holds credentials"],
    ["s3://bucket/x?region=a&region=b", "given twice"],
    ["s3://bucket/x?region=", "is empty"],
    ["s3://bucket/x#y", 'part after "#"'],
    ["s3://bucket/a/../../b%2f..%2f..", "path"],
    ["s3://bucket/a//b", "is not allowed"],
    ["s3://bucket/a%00b", "is not allowed"],
    ["s3://bucket/%E0%A4%A", "is not allowed"],
    ["s3://bucket:80/x", "no name of a bucket"],
    ["s3:///x", "no name of a bucket"],
    ["s3://b/x", "no name of a bucket"],
    [`s3://bucket/${"x".repeat(501)}`, "longer than"],
    ["s3://bucket/x?endpoint=ftp://host", "no http: or https:"],
    ["s3://bucket/x?endpoint=host:9000", "no http: or https:"],
    ["s3://bucket/x?path-style=yes", "not one of true, false"],
    ["s3://bucket/x?checksum=sha1", "not one of sha256, crc32, md5"],
    ["s3://bucket/x?sse=AES128", "not one of"],
    ["s3://bucket/x?sse-key=k", "without"],
    ["s3://bucket/x?storage-class=DEEP_ARCHIVE", "cannot be read"],
    ["s3://bucket/x?storage-class=a%0ab", "not allowed"],
  ])("refuses %s", async (location, words) => {
    const error = await openStorage(location, { environment: {} }).then(
      () => null,
      (failure: unknown) => failure,
    );
    expect(error).toMatchObject({ code: "usage" });
    const { message, detail = "", hint = "" } = error as { message: string; detail?: string; hint?: string };
    expect(`${message} ${detail} ${hint}`).toContain(words);
    expect(`${message} ${detail} ${hint}`).not.toContain(SECRET);
  });
});

describe("parseS3Location()", () => {
  test("of a bare URI is AWS with everything usual", () => {
    expect(parseS3Location("s3://my-bucket", {})).toEqual({
      bucket: "my-bucket",
      prefix: "",
      endpoint: null,
      region: null,
      isPathStyle: false,
      profile: null,
      storageClass: null,
      encryption: null,
      checksum: "sha256",
      isConditional: true,
    });
  });

  test("reads every setting", () => {
    const uri =
      "s3://my_Bucket.x/a/b%20c/?endpoint=http://localhost:9000/&region=eu-1&path-style=false&profile=p&storage-class=STANDARD_IA" +
      "&sse=aws:kms&sse-key=arn:aws:kms:eu-1:1:key/2&checksum=md5&conditional-put=off";
    expect(parseS3Location(uri, { AWS_REGION: "other", AWS_ENDPOINT_URL: "https://other" })).toEqual({
      bucket: "my_Bucket.x",
      prefix: "a/b c/",
      endpoint: "http://localhost:9000",
      region: "eu-1",
      isPathStyle: false,
      profile: "p",
      storageClass: "STANDARD_IA",
      encryption: { algorithm: "aws:kms", keyId: "arn:aws:kms:eu-1:1:key/2" },
      checksum: "md5",
      isConditional: false,
    });
  });

  test("takes endpoint and region from the environment it is handed", () => {
    const environment = { AWS_ENDPOINT_URL_S3: "https://s3.example", AWS_ENDPOINT_URL: "https://all.example" };
    expect(parseS3Location("s3://bucket/x", environment)).toMatchObject({
      endpoint: "https://s3.example",
      region: "us-east-1",
      isPathStyle: true,
    });
    expect(parseS3Location("s3://bucket/x", { AWS_DEFAULT_REGION: "eu-2" })).toMatchObject({ region: "eu-2" });
  });
});

test("parseLocation() lets a user's name stand where the driver has one, never a password", () => {
  const form = { form: "sftp://USER@HOST/PATH", settingNames: [], hasUser: true };
  expect(parseLocation("sftp://m%65@host:2222/a/b/", form)).toEqual({
    user: "me",
    host: "host",
    port: "2222",
    path: "a/b",
    settings: new Map(),
  });
  expect(() => parseLocation("sftp://m%e@host/a", form)).toThrow("not decodable");
  expect(() => parseLocation(`sftp://me:${SECRET}@host/a`, form)).toThrow("holds credentials");
});
