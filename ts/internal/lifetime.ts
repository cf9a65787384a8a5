// Counts the calls under way, so that closing can wait for them.

/** Open until it is closed; closing waits for everything that was begun before. */
export class Lifetime {
  #open = true
  #running = 0
  #closing: Promise<void> | undefined
  #onIdle: (() => void) | undefined

  get open(): boolean {
    return this.#open
  }

  /** Counts a call as under way until it settles. */
  async track<T>(running: Promise<T>): Promise<T> {
    this.begin()
    try {
      return await running
    } finally {
      this.end()
    }
  }

  /** Counts a call as under way until `end`. */
  begin(): void {
    this.#running += 1
  }

  /** Of a call that was begun. */
  end(): void {
    this.#running -= 1
    if (this.#running === 0) this.#onIdle?.()
  }

  /** Lets nothing more begin, waits for what runs, then runs `last`. Again: the same promise. */
  close(last: () => Promise<void>): Promise<void> {
    this.#open = false
    this.#closing ??= this.#idle().then(last)
    return this.#closing
  }

  #idle(): Promise<void> {
    if (this.#running === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onIdle = resolve
    })
  }
}
