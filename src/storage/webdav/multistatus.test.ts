import fc from "fast-check";
import { expect, test } from "vitest";
import { MultistatusReader } from "./multistatus.ts";
import type { Entry } from "./multistatus.ts";

const REPLY = Buffer.from(`<?xml version="1.0" encoding="utf-8"?>
<d:multistatus xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns" xmlns:oc="http://owncloud.org/ns">
 <d:response><d:href>/remote.php/dav/files/kim/</d:href><d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype>
  <d:quota-available-bytes>-3</d:quota-available-bytes></d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>
 <d:response><d:href>/remote.php/dav/files/kim/M%C3%BCll &amp; m&#xe9;hr</d:href><d:propstat><d:prop>
  <d:getlastmodified>Sun, 22 Nov 2026 12:00:00 GMT</d:getlastmodified><d:getcontentlength>42</d:getcontentlength><d:getetag>&quot;5f1e&quot;</d:getetag><d:resourcetype/>
  <oc:checksums><oc:checksum>SHA1:DA39A3EE5E6B4B0D3255BFEF95601890AFD80709 MD5:d41d8cd98f00b204e9800998ecf8427e</oc:checksum></oc:checksums>
  </d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>
  <d:propstat><d:prop><d:quota-available-bytes>9</d:quota-available-bytes></d:prop><d:status>HTTP/1.1 404 Not Found</d:status></d:propstat></d:response>
</d:multistatus>`);

const ENTRIES: readonly Entry[] = [
  {
    href: "/remote.php/dav/files/kim/",
    isFolder: true,
    sizeBytes: null,
    modifiedAtMs: 0,
    etag: null,
    sha1: null,
    availableBytes: null,
  },
  {
    href: "/remote.php/dav/files/kim/M%C3%BCll & méhr",
    isFolder: false,
    sizeBytes: 42,
    modifiedAtMs: Date.UTC(2026, 10, 22, 12),
    etag: '"5f1e"',
    sha1: "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    availableBytes: null,
  },
];

function read(pieces: Iterable<Uint8Array>): Entry[] {
  const entries: Entry[] = [];
  const reader = new MultistatusReader((entry) => entries.push(entry));
  for (const piece of pieces) reader.write(piece);
  reader.end();
  return entries;
}

test("MultistatusReader reads what Nextcloud says, whole and byte by byte", () => {
  expect(read([REPLY])).toEqual(ENTRIES);
  expect(read(Array.from(REPLY, (byte) => Uint8Array.of(byte)))).toEqual(ENTRIES);
});

test("MultistatusReader refuses every reply that is cut off", () => {
  for (let length = 0; length < REPLY.length; length += 1) {
    expect(() => read([REPLY.subarray(0, length)]), `${length}`).toThrow(
      expect.objectContaining({ code: "storage_failed" }),
    );
  }
});

test("MultistatusReader throws nothing but its own errors, whatever bytes are changed", () => {
  const change = fc.tuple(fc.nat(REPLY.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
      const bytes = Buffer.from(REPLY);
      for (const [offset, value] of changes) bytes[offset] = value;
      try {
        read([bytes]);
      } catch (error) {
        expect(error).toMatchObject({ name: "OperatingError", code: "storage_failed" });
      }
    }),
    { numRuns: 2000 },
  );
});
