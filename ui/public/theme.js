// Runs before the first paint: sets the theme, and takes a key out of the address. A file, because the page's CSP forbids
// inline scripts.
;(() => {
  let choice = null
  try {
    choice = localStorage.getItem('skyflo.theme')
  } catch {
    // Storage may be blocked: the system's theme then.
  }
  const dark = choice === 'dark' || (choice !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches)
  document.documentElement.dataset.theme = dark ? 'dark' : 'light'

  // The engine takes the key of local mode out of the address itself. What is left was not its key: keep it out of the history.
  const address = new URL(location.href)
  if (address.searchParams.has('key')) {
    address.searchParams.delete('key')
    history.replaceState(history.state, '', address)
    document.documentElement.dataset.key = 'refused'
  }
})()
