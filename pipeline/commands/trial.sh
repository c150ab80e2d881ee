# One trial of `make search` as a DVC experiment: sh trial.sh CLONE NAME TARGET OPTION..., in the project's folder.
#
# It runs in a clone that shares the project's cache. `dvc exp run --temp` would stash the user's changes for a moment,
# and of two at once one takes the experiment of the other. What is left of a killed trial goes on from its checkpoints.
set -e
clone=$1 name=$2 target=$3 project=$PWD
shift 3

# Standard input is open as long as the search lives; then whatever was started here is ended, even after kill -9.
exec 3<&0 </dev/null
{ read -r _ <&3 || kill -KILL 0; } &
trap "kill $!" EXIT

rm -rf "$clone.left"
if [ -d "$clone/checkpoints" ]; then mv "$clone/checkpoints" "$clone.left"; fi
rm -rf "$clone"
git clone --quiet --shared . "$clone"
if [ -d "$clone.left" ]; then mv "$clone.left" "$clone/checkpoints"; fi
git update-index -q --refresh || true
git diff-index --quiet HEAD || git diff-index --binary HEAD | git -C "$clone" apply
if [ -f .dvc/config.local ]; then cp .dvc/config.local "$clone/.dvc"; fi
cache=$(dvc cache dir)

cd "$clone"
dvc config --local cache.dir "$cache"
dvc exp run --name "$name" "$@" "$target"
ref=$(git for-each-ref --format='%(refname)' "refs/exps/*/*/$name")
git -C "$project" fetch --quiet "$PWD" "+$ref:$ref"
