// Settles the ssl* parameters: defaults, and the combinations that libpq refuses.
// Source: PostgreSQL manual, "SSL Support"; libpq's connectOptions2.

import { join } from "node:path";
import { OperatingError } from "../base/errors.ts";
import type { ParameterName, ParameterValues } from "./connection-parameters.ts";
import type { TlsMode, TlsSettings, TlsVersion } from "./connection-settings.ts";
import { Secret } from "./secret.ts";

const VERSIONS: readonly TlsVersion[] = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
const MODES: readonly TlsMode[] = ["prefer", "disable", "allow", "require", "verify-ca", "verify-full"];
const STRONG_MODES: readonly TlsMode[] = ["require", "verify-ca", "verify-full"];

/** The TLS settings of a connection. Throws "usage" for an unknown value or a weak combination. */
export function settleTls(values: ParameterValues, homeDirectory: string): TlsSettings {
  const folder = join(homeDirectory, ".postgresql");
  const rootCertificateFile = values.get("sslrootcert") ?? join(folder, "root.crt");
  const isSystem = rootCertificateFile === "system";
  const mode = isSystem && !values.has("sslmode") ? "verify-full" : oneOf(values, "sslmode", MODES);
  if (isSystem && mode !== "verify-full") throw weak(mode, "sslrootcert=system", '"verify-full"');
  const negotiation = oneOf(values, "sslnegotiation", ["postgres", "direct"]);
  if (negotiation === "direct" && !STRONG_MODES.includes(mode)) {
    throw weak(mode, "sslnegotiation=direct", '"require", "verify-ca" or "verify-full"');
  }
  const passphrase = values.get("sslpassword");
  return {
    mode,
    negotiation,
    rootCertificateFile,
    revocationListFile: values.get("sslcrl") ?? join(folder, "root.crl"),
    revocationListIsExplicit: values.has("sslcrl"),
    certificateFile: values.get("sslcert") ?? join(folder, "postgresql.crt"),
    keyFile: values.get("sslkey") ?? join(folder, "postgresql.key"),
    certificateIsExplicit: values.has("sslcert"),
    certificateMode: oneOf(values, "sslcertmode", ["allow", "disable", "require"]),
    keyPassphrase: passphrase === undefined ? null : new Secret(passphrase),
    ...settleVersions(values),
    sendsServerName: oneOf(values, "sslsni", ["1", "0"]) === "1",
  };
}

/** The value of a parameter with a fixed list of values, the first of which is the default. */
export function oneOf<T extends string>(values: ParameterValues, name: ParameterName, allowed: readonly T[]): T {
  const text = values.get(name) ?? allowed[0];
  const value = allowed.find((candidate) => candidate === text);
  if (value !== undefined) return value;
  throw new OperatingError("usage", `invalid value "${text}" for connection parameter "${name}"`, {
    hint: `It is one of: ${allowed.join(", ")}.`,
  });
}

function settleVersions(values: ParameterValues): Pick<TlsSettings, "versionMin" | "versionMax"> {
  const read = (name: ParameterName): TlsVersion | null => {
    const text = values.get(name);
    if (text === undefined) return null;
    const version = VERSIONS.find((candidate) => candidate.toLowerCase() === text.toLowerCase());
    if (version !== undefined) return version;
    throw new OperatingError("usage", `invalid value "${text}" for connection parameter "${name}"`, {
      hint: `It is one of: ${VERSIONS.join(", ")}.`,
    });
  };
  const versionMin = read("ssl_min_protocol_version");
  const versionMax = read("ssl_max_protocol_version");
  if (versionMin !== null && versionMax !== null && VERSIONS.indexOf(versionMin) > VERSIONS.indexOf(versionMax)) {
    throw new OperatingError(
      "usage",
      `ssl_min_protocol_version ${versionMin} is above ssl_max_protocol_version ${versionMax}`,
    );
  }
  return { versionMin, versionMax };
}

function weak(mode: TlsMode, setting: string, needed: string): OperatingError {
  return new OperatingError("usage", `weak sslmode "${mode}" may not be used with ${setting} (use ${needed})`);
}
