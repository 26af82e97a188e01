// The servers that host, hostaddr and port name: lists with commas, one port for all or one each, empty elements for the
// default. Source: PostgreSQL manual, "Specifying Multiple Hosts"; libpq's connectOptions2.

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { OperatingError } from "../base/errors.ts";
import type { ParameterValues } from "./connection-parameters.ts";
import { wholeNumber } from "./connection-parameters.ts";
import type { ServerPlace } from "./connection-settings.ts";

const PORT_DEFAULT = 5432;
const HOST_COUNT_MAX = 100;

/** Where the socket of a local server may be. */
export const SOCKET_FOLDERS = ["/var/run/postgresql", "/tmp"] as const;

/** A server, and whether nothing was said of where it is. */
export interface NamedPlace extends ServerPlace {
  readonly isDefaultHost: boolean;
}

/** At least one place, in the order in which they are named. Throws "usage" when the lists do not match. */
export async function settleHosts(values: ParameterValues): Promise<readonly [NamedPlace, ...NamedPlace[]]> {
  const [hosts, addresses, ports] = [values.get("host"), values.get("hostaddr"), values.get("port")].map((text) =>
    (text ?? "").split(","),
  ) as [string[], string[], string[]];
  const count = values.has("hostaddr") ? addresses.length : hosts.length;
  if (count > HOST_COUNT_MAX) throw new OperatingError("usage", `more than ${HOST_COUNT_MAX} hosts are named`);
  if (values.has("host") && hosts.length !== count) throw mismatch("host", hosts.length, "hostaddr", count);
  if (ports.length !== 1 && ports.length !== count) throw mismatch("port", ports.length, "host", count);
  const places: NamedPlace[] = [];
  for (let index = 0; index < count; index += 1) {
    const port = (ports.length === 1 ? ports[0] : ports[index]) ?? "";
    const limits = { default: PORT_DEFAULT, min: 1, max: 65_535 };
    const settled = wholeNumber(port === "" ? undefined : port, "port", limits);
    places.push(await placeOf(hosts[index] ?? "", addresses[index] ?? "", settled));
  }
  return places as unknown as readonly [NamedPlace, ...NamedPlace[]];
}

async function placeOf(host: string, address: string, port: number): Promise<NamedPlace> {
  const hostAddress = address === "" ? null : address;
  if (host !== "" || address !== "") {
    return { host: host === "" ? address : host, hostAddress, port, isDefaultHost: false };
  }
  return { host: await findSocketFolder(port), hostAddress, port, isDefaultHost: true };
}

// libpq has one folder built in (Debian: /var/run/postgresql, others: /tmp); we take the one where a socket is.
async function findSocketFolder(port: number): Promise<string> {
  if (process.platform === "win32") return "localhost";
  // A folder that may not be entered holds no socket for us.
  const exists = async (path: string): Promise<boolean> => (await stat(path).catch(() => null)) !== null;
  for (const folder of SOCKET_FOLDERS) if (await exists(join(folder, `.s.PGSQL.${port}`))) return folder;
  return (await exists(SOCKET_FOLDERS[0])) ? SOCKET_FOLDERS[0] : "/tmp";
}

function mismatch(name: string, count: number, other: string, otherCount: number): OperatingError {
  return new OperatingError(
    "usage",
    `connection parameter "${name}" has ${count} elements, and "${other}" has ${otherCount}`,
    { hint: "The first of each belong together, the second of each, and so on; a single port is of all hosts." },
  );
}
