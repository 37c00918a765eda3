/**
 * The certificates that listeners and clusters use, for /certs.
 *
 *   snapshot ─▶ certificatesOf() ─▶ envoy.admin.v3.Certificate[]
 */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { LiveConfig } from "#proxy/l7/listener.ts";
import type { DataSource, TLSSpec } from "#proxy/l7/tls/types.ts";

export function certificatesOf(live: LiveConfig): readonly object[] {
  const specs: TLSSpec[] = [];
  for (const listener of live.listeners.values())
    for (const { tls } of [...listener.chains, ...(listener.defaultChain === undefined ? [] : [listener.defaultChain])])
      if (tls !== undefined) specs.push(tls);
  for (const { spec } of live.clusters.values()) if (spec.tls !== undefined) specs.push(spec.tls);
  return specs.map(({ trustedCA, certificates }) => ({
    ca_cert: trustedCA === undefined ? [] : describe(trustedCA),
    cert_chain: certificates.flatMap(({ chain }) => describe(chain)),
  }));
}

function describe(source: DataSource): readonly object[] {
  const path = source.kind === "file" ? source.path : "<inline>";
  try {
    const text = source.kind === "file" ? readFileSync(source.path, "utf8") : source.text;
    const certificate = new X509Certificate(text);
    return [
      {
        path,
        serial_number: certificate.serialNumber.toLowerCase(),
        subject_alt_names: names(certificate),
        valid_from: certificate.validFromDate.toISOString(),
        expiration_time: certificate.validToDate.toISOString(),
      },
    ];
  } catch {
    // The page shows what there is: a file that went away since it was read has only its name.
    return [{ path }];
  }
}

function names({ subjectAltName }: X509Certificate): readonly object[] {
  return (subjectAltName ?? "").split(", ").flatMap((entry): readonly object[] => {
    const [kind, value] = entry.split(":", 2);
    if (kind === "DNS") return [{ dns: value }];
    if (kind === "URI") return [{ uri: entry.slice("URI:".length) }];
    return kind === "IP Address" ? [{ ip_address: entry.slice("IP Address:".length) }] : [];
  });
}
