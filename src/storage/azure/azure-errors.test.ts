import { expect, test } from "vitest";
import { askedWaitMs, azureError } from "./azure-errors.ts";
import type { FailurePlace } from "./azure-errors.ts";

const PLACE: FailurePlace = {
  action: 'could not read "x"',
  location: { container: "c", prefix: "", account: "a", endpoint: "https://a.example", accessTier: null },
  expiresAtMs: null,
};
const HOUR_MS = 3_600_000;

/** An error as the client throws it. */
function clientError(statusCode: number, errorCode: string, message = "", more: object = {}): Error {
  return Object.assign(new Error(message), { name: "RestError", statusCode, details: { errorCode, ...more } });
}

test("azureError() repeats the service's first line alone, and nothing that is a signature", () => {
  const message = "Refused for https://a.example/c?se=1&sig=S3cret%3D&sp=r .\nString to sign: S3cret";
  for (const name of ["AuthenticationFailed", "Whatever", "constructor", ""]) {
    const { cause, detail = "", message: told } = azureError(clientError(403, name, message), PLACE);
    expect(`${told} ${detail}`).not.toContain("S3cret");
    expect(told).toMatch(/^could not read "x": /);
    expect(cause).toBe(undefined);
  }
});

test("azureError() says of refused credentials what can be seen from here", () => {
  const said = (hours: number): object => ({ date: new Date(Date.now() + hours * HOUR_MS).toUTCString() });
  const refused = (hours: number, expiresAtMs: number | null): string =>
    azureError(clientError(403, "AuthenticationFailed", "No.", said(hours)), { ...PLACE, expiresAtMs }).message;
  expect(refused(0, null)).toContain("the credentials were refused");
  expect(refused(0, Date.now() - 1000)).toContain("has expired");
  // By the service's clock.
  expect(refused(2, Date.now() + HOUR_MS)).toContain("has expired");
  expect(refused(0, Date.now() + HOUR_MS)).not.toContain("has expired");
  for (const hours of [-1, 1]) expect(refused(hours, null)).toContain("this machine's clock");
  expect(refused(0.1, null)).not.toContain("clock");
});

test.each([
  [409, "BlobAlreadyExists", "repository_exists", false],
  [404, "BlobNotFound", "not_found", false],
  [404, "", "storage_failed", false],
  [404, "ResourceNotFound", "storage_failed", false],
  [404, "ContainerNotFound", "storage_failed", false],
  [416, "", "corrupt", false],
  [503, "", "storage_failed", true],
  [400, "Md5Mismatch", "storage_failed", true],
  [409, "SnapshotsPresent", "permission_denied", false],
  [501, "NotImplemented", "storage_failed", false],
])("azureError() of %d %s is %s", (status, name, code, retryable) => {
  expect(azureError(clientError(status, name), PLACE)).toMatchObject({ code, retryable });
});

test.each([
  ["2", 2000],
  ["0", 0],
  ["-1", 0],
  ["soon", 0],
  ["1e9", 60_000],
  [undefined, 0],
])("askedWaitMs() of Retry-After %s is %d", (text, waitMs) => {
  const more = text === undefined ? {} : { "retry-after": text };
  expect(askedWaitMs(clientError(503, "ServerBusy", "", more))).toBe(waitMs);
});
