// Certificates for TLS tests, made by openssl: a CA, a server certificate of it for localhost, a client certificate, and
// another CA that issued nothing.

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Paths of the files, and the text of those that go into the server's data folder. */
export interface TestCertificates extends AsyncDisposable {
  readonly directory: string;
  readonly authority: string;
  readonly otherAuthority: string;
  readonly clientCertificate: string;
  readonly clientKey: string;
  readonly serverFiles: Readonly<Record<string, string>>;
}

/** Makes the certificates in a temporary folder. */
export async function makeCertificates(clientName: string): Promise<TestCertificates> {
  const directory = await mkdtemp(join(tmpdir(), "cairn-tls-"));
  const at = (name: string): string => join(directory, name);
  const newKey = (name: string): string[] => [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-keyout",
    at(name),
  ];
  const issue = async (name: string, subject: string, extensions: string): Promise<void> => {
    await run("openssl", ["req", "-new", ...newKey(`${name}.key`), "-subj", subject, "-out", at(`${name}.csr`)]);
    await writeFile(at(`${name}.ext`), extensions);
    const authority = ["-CA", at("ca.crt"), "-CAkey", at("ca.key"), "-CAcreateserial", "-extfile", at(`${name}.ext`)];
    await run("openssl", [
      "x509",
      "-req",
      "-days",
      "2",
      "-in",
      at(`${name}.csr`),
      ...authority,
      "-out",
      at(`${name}.crt`),
    ]);
  };
  for (const name of ["ca", "other"]) {
    await run("openssl", [
      "req",
      "-x509",
      "-days",
      "2",
      ...newKey(`${name}.key`),
      "-subj",
      `/CN=${name}`,
      "-out",
      at(`${name}.crt`),
    ]);
  }
  await issue("server", "/CN=server", "subjectAltName = DNS:localhost, DNS:*.example.test\n");
  await issue("client", `/CN=${clientName}`, "extendedKeyUsage = clientAuth\n");
  const text = (name: string): Promise<string> => readFile(at(name), "utf8");
  return {
    directory,
    authority: at("ca.crt"),
    otherAuthority: at("other.crt"),
    clientCertificate: at("client.crt"),
    clientKey: at("client.key"),
    serverFiles: {
      "server.crt": await text("server.crt"),
      "server.key": await text("server.key"),
      "root.crt": await text("ca.crt"),
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}
