// The addon, whose answers come when a test lets them.
import type { Binding } from '#ts/native/binding.js'

/** Holds answers back while it is closed, and knows what was asked. */
export class Gate {
  /** Names of the calls into the addon, in order. */
  readonly asked: string[] = []
  #lifted: Promise<void> = Promise.resolve()
  #lift = (): void => {}

  close(): void {
    this.#lifted = new Promise((resolve) => {
      this.#lift = resolve
    })
  }

  open(): void {
    this.#lift()
  }

  /** What `answer` gives, once the gate is open; objects of the addon are held in their turn. */
  async held(name: string, answer: Promise<unknown>): Promise<unknown> {
    this.asked.push(name)
    const value = await answer
    await this.#lifted
    return isOfAddon(value) ? behind(value, this) : value
  }
}

/** The addon, with databases whose answers wait at the gate. */
export function heldBinding(binding: Binding, gate: Gate): Binding {
  const { BindingDatabase } = binding
  return Object.assign(Object.create(binding) as Binding, {
    BindingDatabase: behind(BindingDatabase, gate),
  })
}

function behind<T extends object>(target: T, gate: Gate): T {
  // Methods of the addon cannot be replaced where they are: this stands before another object.
  return new Proxy({} as T, {
    get(_, name) {
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function' || name === 'constructor') return member
      return (...args: unknown[]): unknown => {
        const answer: unknown = Reflect.apply(member, target, args)
        return answer instanceof Promise ? gate.held(String(name), answer) : answer
      }
    },
  })
}

function isOfAddon(value: unknown): value is object {
  return typeof value === 'object' && value !== null && value.constructor.name.startsWith('Binding')
}
