/**
 * The connections that a listener set serves: a ring through them, joined and left in O(1).
 *
 *   listener.ts (accepted) ─▶ join() ─▶ Place: served by whom ─▶ leave()        drains ─▶ served()
 *
 * A ring, not a Map by socket: the tables that a Map has outgrown name those that it had until an old generation is
 * collected, and with them their sockets and TLS sessions, for which a thousand new connections cost two collections.
 */
import type { Served } from "./serve.ts";

/** Of one accepted connection. */
export class Place {
  /** Who answers for it in drains; undefined before it is served. */
  served: Served | undefined;
  next: Place = this;
  previous: Place = this;
}

export class Connections {
  /** One that nobody takes: the ring begins and ends there. */
  readonly #ring = new Place();
  #size = 0;

  /** Places that are taken. */
  get size(): number {
    return this.#size;
  }

  /** A connection comes. */
  join(): Place {
    const place = new Place();
    const { previous } = this.#ring;
    place.previous = previous;
    place.next = this.#ring;
    previous.next = place;
    this.#ring.previous = place;
    this.#size++;
    return place;
  }

  /** It goes. Once a place. */
  leave(place: Place): void {
    const { next, previous } = place;
    previous.next = next;
    next.previous = previous;
    place.next = place;
    place.previous = place;
    place.served = undefined;
    this.#size--;
  }

  /** Those that are served, in the order in which they came: a copy, for whoever ends them. */
  served(): readonly Served[] {
    const served: Served[] = [];
    for (let place = this.#ring.next; place !== this.#ring; place = place.next)
      if (place.served !== undefined) served.push(place.served);
    return served;
  }
}
