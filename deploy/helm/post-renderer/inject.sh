#!/bin/sh
# Adds the tap to every workload of a Helm release, with any chart.
#
#   inject.sh [WAY [IMAGE]]   WAY is sidecar or transparent: a component of deploy/kubernetes
#
# Helm 4:  helm plugin install deploy/helm/post-renderer
#          helm upgrade --install ... --post-renderer ksyun-tap-inject --post-renderer-args=sidecar --post-renderer-args=IMAGE
# Helm 3:  helm upgrade --install ... --post-renderer deploy/helm/post-renderer/inject.sh --post-renderer-args ...
#
# It needs kustomize, or kubectl, which contains it.
set -eu
way=${1:-sidecar}
image=${2:-}
here=$(cd -P "$(dirname "$0")" && pwd -P)
components=${KSYUN_TAP_COMPONENTS:-$here/../../kubernetes/components}
if ! [ -d "$components/$way" ]; then
  echo "ksyun-tap-inject: $components has no component \"$way\": give sidecar or transparent, and name the folder in KSYUN_TAP_COMPONENTS if it is elsewhere" >&2
  exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R "$components/$way" "$work/component"
cat >"$work/rendered.yaml"
cat >"$work/kustomization.yaml" <<END
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [rendered.yaml]
components: [component]
END
case $image in
  '') ;;
  *@*) printf 'images: [{name: ksyun-tap, newName: "%s", digest: "%s"}]\n' "${image%@*}" "${image#*@}" >>"$work/kustomization.yaml" ;;
  *) printf 'images: [{name: ksyun-tap, newName: "%s", newTag: "%s"}]\n' "${image%:*}" "${image##*:}" >>"$work/kustomization.yaml" ;;
esac
if command -v kustomize >/dev/null; then
  kustomize build "$work"
else
  kubectl kustomize "$work"
fi
