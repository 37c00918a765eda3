/** The part of `opossum` that is used. The package ships no types of its own. */
declare module "opossum" {
  import { EventEmitter } from "node:events";

  export default class CircuitBreaker extends EventEmitter {
    constructor(
      action: () => Promise<unknown>,
      options: {
        /** false: none. */
        timeout: number | false;
        /** Time from open to half-open, in ms; read anew at each opening. */
        resetTimeout: number;
        enableSnapshots?: boolean;
        /** Turns the windows of its statistics; without one each breaker has a timer of its own. */
        rotateBucketController?: EventEmitter;
      },
    );
    readonly options: { resetTimeout: number };
    readonly opened: boolean;
    readonly halfOpen: boolean;
    open(): void;
    close(): void;
    shutdown(): void;
  }
}
