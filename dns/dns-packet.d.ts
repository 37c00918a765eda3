/**
 * The part of `dns-packet` that tests use as an oracle. The package ships no types of its own.
 */
declare module "dns-packet" {
  export type Answer =
    | {
        readonly type: "A" | "AAAA" | "CNAME" | "NS" | "PTR";
        readonly name: string;
        readonly ttl: number;
        readonly data: string;
      }
    | {
        readonly type: "TXT";
        readonly name: string;
        readonly ttl: number;
        readonly data: Uint8Array | readonly Uint8Array[];
      }
    | {
        readonly type: "SRV";
        readonly name: string;
        readonly ttl: number;
        readonly data: {
          readonly priority: number;
          readonly weight: number;
          readonly port: number;
          readonly target: string;
        };
      }
    | {
        readonly type: "SOA";
        readonly name: string;
        readonly ttl: number;
        readonly data: {
          readonly mname: string;
          readonly rname: string;
          readonly serial: number;
          readonly minimum: number;
        };
      }
    | {
        readonly type: "OPT";
        readonly name: string;
        readonly udpPayloadSize: number;
        readonly extendedRcode?: number;
        readonly ednsVersion?: number;
        readonly flags?: number;
        readonly flag_do?: boolean;
        readonly options: readonly never[];
      };

  export interface Question {
    readonly type: string;
    readonly name: string;
  }

  export interface Packet {
    readonly type: "query" | "response";
    readonly id?: number;
    readonly flags?: number;
    readonly questions?: readonly Question[];
    readonly answers?: readonly Answer[];
    readonly authorities?: readonly Answer[];
    readonly additionals?: readonly Answer[];
  }

  export interface DecodedPacket extends Packet {
    readonly id: number;
    readonly rcode: string;
    readonly flag_aa: boolean;
    readonly flag_tc: boolean;
    readonly flag_rd: boolean;
  }

  const codec: {
    encode(packet: Packet): Buffer;
    decode(bytes: Buffer): DecodedPacket;
  };
  export default codec;
}
