// Connections to PostgreSQL servers: settings, login, sessions, COPY, quoting, throwaway servers.

export { cancelRequest } from "./cancel.ts";
export { connectAuthenticated } from "./connect.ts";
export type { AuthenticatedConnection, ConnectOptions } from "./connect-host.ts";
export {
  describeConnection,
  describeServer,
  deserializeConnectionSettings,
  meetingSameServer,
  serializeConnectionSettings,
  usesUnixSocket,
} from "./connection-settings.ts";
export type {
  ConnectionSettings,
  SerializedConnectionSettings,
  ServerPlace,
  TlsMode,
  TlsSettings,
  TlsVersion,
} from "./connection-settings.ts";
export type { ParameterName } from "./connection-parameters.ts";
export type { CopyInWriter } from "./copy-in.ts";
export type { CopyOutStream } from "./copy-out.ts";
export { describeEncryption } from "./describe-encryption.ts";
export { MessageReader } from "./message-reader.ts";
export type { Message } from "./message-reader.ts";
export { BACKEND, encodeFunctionCall, encodeMessage, encodeQuery, FRONTEND } from "./messages.ts";
export type { Column, QueryResult, StatementResult } from "./query-result.ts";
export { rowCountOf } from "./query-result.ts";
export { displayIdentifier, parseQualifiedName, quoteIdentifier, quoteLiteral, quoteQualifiedName } from "./quote.ts";
export { resolveConnection } from "./resolve-connection.ts";
export type { ResolveOptions } from "./resolve-connection.ts";
export { parseErrorFields, ServerError, serverErrorOf } from "./server-error.ts";
export type { ServerMessage, TextEncoding } from "./server-error.ts";
export { formatVersion, parseVersionText } from "./server-version.ts";
export type { ServerVersion } from "./server-version.ts";
export { openSession, Session } from "./session.ts";
export { valueIfAllowed } from "./value-if-allowed.ts";
export type { QueryOptions, SessionOptions } from "./session.ts";
export { DirectReadSocket } from "./direct-read-socket.ts";
export type { DirectReader } from "./direct-read-socket.ts";
export { findAllServerBinaries, findServerBinaries } from "./throwaway/server-binaries.ts";
export type { ServerBinaries } from "./throwaway/server-binaries.ts";
export type { StopMode } from "./throwaway/server-child.ts";
export type { ThrowawayOptions } from "./throwaway/server-site.ts";
export { startThrowawayServer } from "./throwaway/throwaway-server.ts";
export type { ThrowawayServer } from "./throwaway/throwaway-server.ts";
