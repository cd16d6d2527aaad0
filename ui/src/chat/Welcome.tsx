import { useSession } from '../session/session'
import { en } from '../words/en'
import css from './Chat.module.css'

/** An empty conversation: what this is, and three questions to start with. */
export function Welcome({ onTry }: { onTry: (text: string) => void }) {
  const sandbox = useSession().app?.sandbox?.cluster
  const suggestions = sandbox ? en.chat.sandboxSuggestions : en.chat.suggestions
  return (
    <div className={css.welcome}>
      <h2>{en.chat.welcome}</h2>
      <p>{en.chat.welcomeText}</p>
      <ul>
        {suggestions.map((text) => (
          <li key={text}>
            <button type="button" onClick={() => onTry(text)}>
              {text}
            </button>
          </li>
        ))}
      </ul>
    </div>
  )
}
