// The signature of a request covers the SHA-256 of its body. Where that is known, the AWS client is told, and does not read
// the body for it. Source: Amazon S3 API Reference, "Authenticating Requests", x-amz-content-sha256.

import type { S3Client } from "@aws-sdk/client-s3";

/** By the body itself: the same bytes in another view are another body. */
const noted = new WeakMap<object, Uint8Array>();

interface BuiltRequest {
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
}

/** Keeps the SHA-256 of a body that will be sent; the body must not change any more. */
export function noteDigest(body: Uint8Array, sha256: Uint8Array): void {
  noted.set(body, sha256);
}

/** Has the client sign with digests that are known: noted, or carried by the request as its checksum. */
export function signKnownDigests(client: S3Client): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      const { body, headers } = args.request as BuiltRequest;
      const checksum = headers?.["x-amz-checksum-sha256"];
      const known =
        checksum !== undefined ? Buffer.from(checksum, "base64")
        : body instanceof Uint8Array ? noted.get(body)
        : undefined; // prettier-ignore
      if (headers !== undefined && known !== undefined) {
        headers["x-amz-content-sha256"] = Buffer.from(known).toString("hex");
      }
      return await next(args);
    },
    { step: "build", priority: "low", name: "signKnownDigests" },
  );
}
