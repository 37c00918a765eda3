/** Operators that look into heads and trailers. Pure. Source: Envoy's HTTP formatters. */
import { grpcStatusOf, isGRPC } from "../http2/grpc.ts";
import type { Headers } from "../http1/headers.ts";
import { receivedScheme, schemeOf } from "../route/scheme.ts";
import { fieldValue } from "./field.ts";
import type { FormatRecord, Operator, OperatorSpec } from "./types.ts";

const requestIdKey = "x-request-id";

type Read = (record: FormatRecord, key: string) => string | undefined;

const requestHeader: Read = (record, key) => {
  if (key === ":scheme") return schemeIn(record);
  const { head, sentHead, requestId } = record;
  const value = fieldValue(sentHead ?? head, key);
  // The proxy makes an id where there is none, or an empty one; it is not in the head.
  return key === requestIdKey ? value || requestId : value;
};

function schemeIn({ connection: { trust, isTLS = false }, head, received = head }: FormatRecord): string | undefined {
  if (received === undefined) return undefined;
  return trust === undefined ? schemeOf(received.headers, isTLS) : receivedScheme(received.headers, trust, isTLS);
}

const responseHeader: Read = ({ response }, key) => {
  if (response === undefined) return undefined;
  return key === ":status" ? String(response.status) : valueIn(response.headers, key);
};

const responseTrailer: Read = ({ responseTrailers }, key) => responseTrailers && valueIn(responseTrailers, key);

function valueIn({ keys, values }: Pick<Headers, "keys" | "values">, key: string): string | undefined {
  const index = keys.indexOf(key);
  return index < 0 ? undefined : values[index];
}

/** `main?alternative`, without regard to case. */
function header(read: Read): OperatorSpec {
  return {
    wantsArgument: true,
    make(argument) {
      const [main, other] = alternatives(argument);
      return (record) => read(record, main) ?? (other === undefined ? undefined : read(record, other));
    },
  };
}

function alternatives(argument: string): readonly [string, string | undefined] {
  const [main = "", other] = argument.toLowerCase().split("?", 2);
  return [main, other];
}

/** REQ(argument) has the request's id in it, so that one that is made has to be kept. */
export function asksForId(name: string, argument = ""): boolean {
  return (name === "REQ" || name === "REQUEST_HEADER") && alternatives(argument).includes(requestIdKey);
}

const codes = [
  ["OK", "OK"],
  ["Canceled", "CANCELLED"],
  ["Unknown", "UNKNOWN"],
  ["InvalidArgument", "INVALID_ARGUMENT"],
  ["DeadlineExceeded", "DEADLINE_EXCEEDED"],
  ["NotFound", "NOT_FOUND"],
  ["AlreadyExists", "ALREADY_EXISTS"],
  ["PermissionDenied", "PERMISSION_DENIED"],
  ["ResourceExhausted", "RESOURCE_EXHAUSTED"],
  ["FailedPrecondition", "FAILED_PRECONDITION"],
  ["Aborted", "ABORTED"],
  ["OutOfRange", "OUT_OF_RANGE"],
  ["Unimplemented", "UNIMPLEMENTED"],
  ["Internal", "INTERNAL"],
  ["Unavailable", "UNAVAILABLE"],
  ["DataLoss", "DATA_LOSS"],
  ["Unauthenticated", "UNAUTHENTICATED"],
] as const;

/** Of requests that are gRPC: as the upstream says it, else by the HTTP status. */
function grpcStatus({ head, responseTrailers, response, status }: FormatRecord): number | undefined {
  if (head === undefined || !isGRPC(head.headers)) return undefined;
  for (const headers of [responseTrailers, response?.headers]) {
    const text = headers && valueIn(headers, "grpc-status");
    if (text !== undefined) return /^[0-9]{1,9}$/.test(text) ? Number(text) : undefined;
  }
  if (status === 0) return undefined;
  // There is no status of gRPC in a plain 200.
  return status === 200 ? unknown : grpcStatusOf(status);
}

const unknown = 2;

const grpcForms: Readonly<Record<string, Operator>> = {
  CAMEL_STRING: (record) => grpcName(record, 0),
  SNAKE_STRING: (record) => grpcName(record, 1),
  NUMBER: grpcStatus,
};

function grpcName(record: FormatRecord, form: 0 | 1): string | undefined {
  const code = grpcStatus(record);
  return code === undefined ? undefined : (codes[code]?.[form] ?? String(code));
}

export const messageOperators: Readonly<Record<string, OperatorSpec>> = {
  REQ: header(requestHeader),
  REQUEST_HEADER: header(requestHeader),
  RESP: header(responseHeader),
  RESPONSE_HEADER: header(responseHeader),
  TRAILER: header(responseTrailer),
  RESPONSE_TRAILER: header(responseTrailer),
  PATH: { wantsArgument: false, make: compilePath },
  QUERY_PARAM: {
    wantsArgument: true,
    make(wanted) {
      return ({ head }) => {
        const found = head?.query.split("&").find((part) => part === wanted || part.startsWith(`${wanted}=`));
        return found === undefined ? undefined : found.slice(wanted.length + 1);
      };
    },
  },
  QUERY_PARAMS: ({ head }) => head?.query || undefined,
  GRPC_STATUS: {
    wantsArgument: false,
    make(form, fail) {
      const operator = Object.hasOwn(grpcForms, form || "CAMEL_STRING") ? grpcForms[form || "CAMEL_STRING"] : undefined;
      if (operator === undefined) throw fail(`${JSON.stringify(form)}, wanted ${Object.keys(grpcForms).join(", ")}`);
      return operator;
    },
  },
  GRPC_STATUS_NUMBER: grpcStatus,
  REQUEST_HEADERS_BYTES: requestHeadersBytes,
  RESPONSE_HEADERS_BYTES: ({ response }) =>
    response === undefined ? 0 : ":status".length + 3 + bytesOf(response.headers),
  RESPONSE_TRAILERS_BYTES: ({ responseTrailers }) => (responseTrailers === undefined ? 0 : bytesOf(responseTrailers)),
};

/** Names and values, pseudo headers included, as Envoy counts them: not what is around them on the wire. */
function requestHeadersBytes(record: FormatRecord): number {
  const { head, sentHead } = record;
  const sent = sentHead ?? head;
  if (sent === undefined) return 0;
  const scheme = schemeIn(record) ?? "";
  const pseudo = [":method", sent.method, ":path", sent.target, ":authority", sent.host, ":scheme", scheme];
  const hostAt = sent.headers.keys.indexOf("host");
  const own = hostAt < 0 ? 0 : "host".length + sent.headers.values[hostAt]!.length;
  return pseudo.join("").length + bytesOf(sent.headers) - own;
}

function bytesOf({ keys, values }: Pick<Headers, "keys" | "values">): number {
  return keys.join("").length + values.join("").length;
}

/** PATH(WQ|NQ:ORIG|PATH|ORIG_OR_PATH): with or without the query, and before or behind rewrites. */
function compilePath(argument: string, fail: (why: string) => Error): Operator {
  const [query = "WQ", from = "ORIG_OR_PATH", more] = argument === "" ? [] : argument.split(":");
  if (!["WQ", "NQ", ""].includes(query)) throw fail(`${JSON.stringify(query)}, wanted WQ or NQ`);
  if (more !== undefined || !["ORIG", "PATH", "ORIG_OR_PATH"].includes(from))
    throw fail(`${JSON.stringify(argument)}, wanted ORIG, PATH or ORIG_OR_PATH behind the colon`);
  return (record) => {
    const original = from === "PATH" ? undefined : requestHeader(record, "x-envoy-original-path");
    const path = original ?? (from === "ORIG" ? undefined : requestHeader(record, ":path"));
    return query === "NQ" ? path?.split("?", 1)[0] : path;
  };
}
