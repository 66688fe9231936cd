//! `towpath completions`, as clap reads it.

pub(crate) const HELP: &str = "\
Where it goes:
  bash        towpath completions bash > ~/.local/share/bash-completion/completions/towpath
  zsh         towpath completions zsh > ~/.zfunc/_towpath
              and in ~/.zshrc, before compinit: fpath+=~/.zfunc
  fish        towpath completions fish > ~/.config/fish/completions/towpath.fish
  powershell  towpath completions powershell | Out-String | Invoke-Expression
              in the file that $PROFILE names
  elvish      eval (towpath completions elvish | slurp)
              in ~/.config/elvish/rc.elv

A new shell knows it. After an update of towpath, write it again.";
