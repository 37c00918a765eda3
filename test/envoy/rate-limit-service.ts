/**
 * A rate limit service that both proxies ask: it says in a header what it was asked, and refuses who names "over".
 */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { decodeMessage } from "#api/xds/decode.ts";
import { encodeMessage } from "#api/xds/encode.ts";

const service = "envoy.service.ratelimit.v3";

interface Asked {
  readonly domain?: string;
  readonly descriptors?: readonly { readonly entries?: readonly { readonly key: string; readonly value?: string }[] }[];
}

export async function startRateLimitService(): Promise<{ server: Server; port: number }> {
  const server = new Server();
  const same = (value: Buffer): Buffer => value;
  const shape = {
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
  server.addService(
    {
      ShouldRateLimit: {
        path: `/${service}.RateLimitService/ShouldRateLimit`,
        requestStream: false,
        responseStream: false,
        ...shape,
      },
    },
    {
      ShouldRateLimit: (call: { request: Buffer }, reply: (error: null, value: Buffer) => void) =>
        reply(null, answerTo(decodeMessage(`${service}.RateLimitRequest`, call.request))),
    },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  return { server, port };
}

function answerTo({ domain = "", descriptors = [] }: Asked): Buffer {
  const texts = descriptors.map(({ entries = [] }) =>
    entries.map(({ key, value = "" }) => `${key}=${value}`).join(","),
  );
  const isOver = texts.some((text) => text.includes("=over"));
  return encodeMessage(`${service}.RateLimitResponse`, {
    overall_code: isOver ? "OVER_LIMIT" : "OK",
    response_headers_to_add: [{ key: "x-asked", value: `${domain}: ${texts.join("; ")}` }],
    request_headers_to_add: [{ key: "x-passed", value: "yes" }],
    ...(isOver ? { raw_body: Buffer.from("slow down").toString("base64") } : {}),
  });
}
