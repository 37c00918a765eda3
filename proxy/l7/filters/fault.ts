/**
 * Fault injection: a part of the requests is delayed, a part is answered here with an error.
 *
 * Source: Envoy's fault filter: the delay first, then the abort; the request's own headers say how much where the
 * configuration leaves it to them.
 */
import type { FaultConfig } from "../config/fault.ts";
import type { FilterContext, HttpFilterFactory } from "../filter.ts";
import { plainInfo } from "../route/match.ts";
import type { Fraction } from "../route/types.ts";
import type { EngineDeps } from "../types.ts";

export function faultFilter(name: string, config: FaultConfig, { random }: EngineDeps): HttpFilterFactory {
  let active = 0;
  const isHit = ({ numerator, denominator }: Fraction): boolean => random.next() * denominator < numerator;

  /** True when the request was answered. */
  const abort = (context: FilterContext, fault: FaultConfig["abort"]): boolean => {
    if (fault === undefined || !isHit(fractionOf(context, fault.fraction, "x-envoy-fault-abort-request-percentage")))
      return false;
    const status =
      fault.status === "headerControlled" ? headerNumber(context, "x-envoy-fault-abort-request") : fault.status;
    // Of what a header asks for, only what is the status of an answer.
    if (status === undefined || status < 200 || status > 599) return false;
    const { grpcStatus } = fault;
    context.reply({
      status,
      body: "fault filter abort",
      flag: "FI",
      ...(grpcStatus === undefined ? {} : { grpcStatus }),
    });
    return true;
  };

  const delayOf = (context: FilterContext, fault: FaultConfig): number => {
    const { delay, activeMax } = fault;
    if (delay === undefined || active >= activeMax) return 0;
    if (!isHit(fractionOf(context, delay.fraction, "x-envoy-fault-delay-request-percentage"))) return 0;
    return delay.ms === "headerControlled" ? (headerNumber(context, "x-envoy-fault-delay-request") ?? 0) : delay.ms;
  };

  return {
    name,
    create() {
      let isDelayed = false;
      const leave = (): void => {
        if (isDelayed) active--;
        isDelayed = false;
      };
      return {
        onRequestHeaders(context) {
          const setting = context.routeConfigOf(name);
          if (setting === "disabled") return "continue";
          const fault = (setting as FaultConfig | undefined) ?? config;
          if (!fault.headers.every((matches) => matches(context.request, plainInfo))) return "continue";
          const delayMs = delayOf(context, fault);
          if (delayMs === 0) return abort(context, fault.abort) ? "stop" : "continue";
          active++;
          isDelayed = true;
          context.after(delayMs, () => {
            leave();
            if (!abort(context, fault.abort)) context.resume();
          });
          return "stop";
        },
        onEnd: leave,
      };
    },
  };
}

/** The request may ask for less than the configured part, not for more. */
function fractionOf(context: FilterContext, fraction: Fraction, header: string): Fraction {
  const asked = headerNumber(context, header);
  return asked === undefined ? fraction : { ...fraction, numerator: Math.min(asked, fraction.numerator) };
}

function headerNumber({ requestHeaders }: FilterContext, name: string): number | undefined {
  const text = requestHeaders.get(name);
  return text !== undefined && /^[0-9]{1,9}$/.test(text) ? Number(text) : undefined;
}
