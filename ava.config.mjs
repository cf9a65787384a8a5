// The tests are compiled before they run, so that no loader stands between them and Node.
export default {
  files: ['dist/__test__/**/*.spec.js'],
  watchMode: { ignoreChanges: ['dist/**/*.map'] },
  // A crash of the addon must end one test file, not the whole run; a process each makes that so.
  workerThreads: false,
  timeout: '2m',
}
