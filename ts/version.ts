/** Version of this package, such as `0.1.0`. */
export const version: string = '0.1.0'
