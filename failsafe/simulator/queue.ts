/** What happens when, in virtual time: a heap of events. Events of the same microsecond happen in the order in which they were made. */
export class EventQueue {
  nowUs = 0;
  /** Events that have happened. */
  count = 0;
  readonly #times: number[] = [];
  readonly #orders: number[] = [];
  readonly #actions: (() => void)[] = [];
  #next = 0;

  /** A time that is over means now. */
  at(timeUs: number, action: () => void): void {
    const time = timeUs > this.nowUs ? timeUs : this.nowUs;
    const [times, orders, actions] = [this.#times, this.#orders, this.#actions];
    let place = times.length;
    const order = this.#next++;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (times[parent]! <= time) break;
      times[place] = times[parent]!;
      orders[place] = orders[parent]!;
      actions[place] = actions[parent]!;
      place = parent;
    }
    times[place] = time;
    orders[place] = order;
    actions[place] = action;
  }

  after(delayUs: number, action: () => void): void {
    this.at(this.nowUs + delayUs, action);
  }

  /** Lets everything up to `untilUs` happen. */
  runUntil(untilUs: number): void {
    while (this.#times.length > 0 && this.#times[0]! <= untilUs) {
      this.nowUs = this.#times[0]!;
      this.count += 1;
      this.#take()();
    }
    this.nowUs = untilUs;
  }

  #take(): () => void {
    const [times, orders, actions] = [this.#times, this.#orders, this.#actions];
    const first = actions[0]!;
    const time = times.pop()!;
    const order = orders.pop()!;
    const action = actions.pop()!;
    const length = times.length;
    if (length === 0) return first;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= length) break;
      if (child + 1 < length && (times[child + 1]! < times[child]! || (times[child + 1] === times[child] && orders[child + 1]! < orders[child]!))) child += 1;
      if (times[child]! > time || (times[child] === time && orders[child]! > order)) break;
      times[place] = times[child]!;
      orders[place] = orders[child]!;
      actions[place] = actions[child]!;
      place = child;
    }
    times[place] = time;
    orders[place] = order;
    actions[place] = action;
    return first;
  }
}
