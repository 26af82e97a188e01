import { describe, expect, test } from "vitest";
import { openStorage } from "../open-storage.ts";
import { parseGcsLocation } from "./gcs-location.ts";

const SECRET = "ya29.secret";

describe("parseGcsLocation()", () => {
  test("of a bare URI is Google with everything usual", () => {
    expect(parseGcsLocation("gs://my-bucket", {})).toEqual({
      bucket: "my-bucket",
      prefix: "",
      endpoint: "https://storage.googleapis.com",
      isGoogle: true,
      project: null,
      credentials: null,
      storageClass: null,
      kmsKey: null,
    });
  });

  test("reads every setting, and these before the environment", () => {
    const environment = {
      STORAGE_EMULATOR_HOST: "localhost:1",
      CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE: "https://other.example/",
      GOOGLE_CLOUD_QUOTA_PROJECT: "other",
    };
    const key = "projects/p/locations/l/keyRings/r/cryptoKeys/k";
    const uri = `gs://b_1.x/a/b%20c/?endpoint=https://storage.example/&project=p&credentials=/run/key.json&storage-class=NEARLINE&kms-key=${key}`;
    expect(parseGcsLocation(uri, environment)).toEqual({
      bucket: "b_1.x",
      prefix: "a/b c/",
      endpoint: "https://storage.example",
      isGoogle: false,
      project: "p",
      credentials: "/run/key.json",
      storageClass: "NEARLINE",
      kmsKey: key,
    });
  });

  test.each([
    [{ STORAGE_EMULATOR_HOST: "emulator:4443" }, "http://emulator:4443", "none"],
    [{ STORAGE_EMULATOR_HOST: "https://emulator:4443/" }, "https://emulator:4443", "none"],
    [
      { CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE: "https://private.example/storage/v1/" },
      "https://private.example",
      null,
    ],
  ])("takes the endpoint from %j", (environment, endpoint, credentials) => {
    expect(parseGcsLocation("gs://bucket/x", environment)).toMatchObject({ endpoint, credentials, isGoogle: false });
  });

  test.each([
    ["gs:bucket", "gs://BUCKET"],
    ["gs://b/x", "no name of a bucket"],
    ["gs://Bucket/x", "no name of a bucket"],
    ["gs://bucket:80/x", "no name of a bucket"],
    [`gs://${SECRET}@bucket/x`, "holds credentials"],
    [`gs://bucket/x?token=${SECRET}`, '"token" in the URI of gs://bucket is not known'],
    [`gs://bucket/x?endpoint=https://${SECRET}@host`, "endpoint holds credentials"],
    ["gs://bucket/x?endpoint=ftp://host", "no http: or https:"],
    ["gs://bucket/x?endpoint=http://storage.example", "read the credentials on their way"],
    ["gs://bucket/x?project=a%0ab", "not allowed"],
    [`gs://bucket/${"x".repeat(501)}`, "longer than"],
    ["gs://bucket/a//b", "is not allowed"],
  ])("refuses %s", async (location, words) => {
    const error = await openStorage(location, { environment: {} }).catch((failure: unknown) => failure);
    expect(error).toMatchObject({ code: "usage" });
    const { message, detail = "", hint = "" } = error as { message: string; detail?: string; hint?: string };
    expect(`${message} ${detail} ${hint}`).toContain(words);
    expect(`${message} ${detail} ${hint}`).not.toContain(SECRET);
  });
});
